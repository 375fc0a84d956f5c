-- The role that the API connects as: it reads and writes rows, and can do nothing else. psql runs this as the owner of the tables,
-- before the migrations, each time that the containers start; API_PASSWORD is the password.
\set ON_ERROR_STOP on
\getenv password API_PASSWORD

SELECT 'CREATE ROLE orders_api' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'orders_api') \gexec
ALTER ROLE orders_api LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
GRANT USAGE ON SCHEMA public TO orders_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO orders_api;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO orders_api;
