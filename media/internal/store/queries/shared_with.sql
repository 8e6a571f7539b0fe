SELECT s.file_id
FROM read.projections AS p
JOIN read.shares AS s ON s.generation = p.generation
WHERE p.name = $1 AND s.user_id = $2
ORDER BY s.file_id
