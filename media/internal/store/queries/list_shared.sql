-- The page first, then its files. Whom else a file is shared with is its owner's
-- business.
SELECT f.file_id, f.owner_id, f.name, f.content_type, f.size, f.public, f.uploaded_at, '{}'::uuid[]
FROM (
    SELECT s.generation, s.file_id, s.uploaded_at
    FROM read.shares AS s
    WHERE s.generation = (SELECT p.generation FROM read.projections AS p WHERE p.name = $1)
        AND s.user_id = $2 AND (s.uploaded_at, s.file_id) < ($3, $4)
    ORDER BY s.uploaded_at DESC, s.file_id DESC
    LIMIT $5
) AS page
JOIN read.files AS f ON f.generation = page.generation AND f.file_id = page.file_id
ORDER BY page.uploaded_at DESC, page.file_id DESC
