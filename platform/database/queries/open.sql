SELECT pg_has_role(datdba, 'USAGE')
    AND (has_database_privilege('public', oid, 'CONNECT') OR NOT has_database_privilege($1, oid, 'CONNECT'))
FROM pg_database
WHERE datname = current_database()
