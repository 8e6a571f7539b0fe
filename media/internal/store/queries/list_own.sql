-- The generation as a subquery, so that the planner takes it for a constant and
-- reads the page off the index, in its order.
SELECT f.file_id, f.owner_id, f.name, f.content_type, f.size, f.public, f.uploaded_at,
    ARRAY(
        SELECT s.user_id
        FROM read.shares AS s
        WHERE s.generation = f.generation AND s.file_id = f.file_id
        ORDER BY s.user_id
    )
FROM read.files AS f
WHERE f.generation = (SELECT p.generation FROM read.projections AS p WHERE p.name = $1)
    AND f.owner_id = $2 AND (f.uploaded_at, f.file_id) < ($3, $4)
ORDER BY f.uploaded_at DESC, f.file_id DESC
LIMIT $5
