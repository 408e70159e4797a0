#!/bin/sh
# One role and one database for each part, with the passwords of the environment. Repeating it changes nothing, so it
# runs when the data directory is made and before every later start: a new password in the Secret is taken over.
set -eu
statements() {
    cat <<SQL
-- A statement that fails is logged, with its password.
SET log_min_error_statement = panic;
SET log_statement = none;
\getenv password POSTGRES_PASSWORD
ALTER ROLE postgres PASSWORD :'password';
SQL
    for part in corepoint prefect mlflow; do
        cat <<SQL
\getenv password ${part}_password
SELECT 'CREATE ROLE $part LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$part') \gexec
ALTER ROLE $part PASSWORD :'password';
SELECT 'CREATE DATABASE $part OWNER $part' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$part') \gexec
REVOKE ALL ON DATABASE $part FROM PUBLIC;
SQL
    done
}
statements | psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname postgres
