-- Roles of Jeton on Postgres, each with the privileges that it needs and no others.
--
--   jeton_owner     owns the tables; only for `jeton migrate`
--   jeton_service   nodes: `jeton serve --no-migrate`
--   jeton_operator  operators and scripts that administer clients: `jeton client …`, psql
--   jeton_reader    read-only: `jeton client list`, `jeton client show`, `jeton audit …`
--
-- Read this script, then run it with psql as a superuser in the database of Jeton, after the first
-- `jeton migrate`:
--
--   jeton migrate --print-roles > roles.sql
--   psql --dbname jeton --set ON_ERROR_STOP=1 --file roles.sql
--
-- Then set a password for each role (\password jeton_service), or create personal roles that are
-- members of one (create role alice login in role jeton_operator), so that the audit trail names
-- the operator. A node on whose control listener clients are changed needs the privileges of two
-- (create role control login in role jeton_service, jeton_operator).
--
-- The script may be run any number of times. It revokes every privilege of the three lower roles
-- that it does not grant. Run it again after an upgrade with new migrations; once the roles exist,
-- jeton_owner may do that too. It is one transaction.

begin;
-- Other sessions queue behind a waiting lock, so the script gives up soon.
set local lock_timeout = '5s';

-- Resolve names in the schema that holds the tables, and not in another one that comes first for
-- the role that runs this.
do $$
begin
    perform pg_catalog.set_config(
        'jeton.home', pg_catalog.current_schema()::pg_catalog.text, true);
end $$;
set local search_path = pg_catalog, pg_temp;
do $$
declare
    homes name[];
begin
    select array_agg(nspname order by nspname <> current_setting('jeton.home')) into homes
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where relname = 'access_token' and relkind = 'p';
    if homes is null then
        raise exception 'there are no tables of Jeton in the database %', current_database()
            using hint = 'run `jeton migrate` first, or connect to another database';
    elsif cardinality(homes) > 1 and homes[1] <> current_setting('jeton.home') then
        raise exception 'there are tables of Jeton in several schemas: %', homes
            using hint = 'set search_path to one of them first';
    end if;
    perform set_config('jeton.home', quote_ident(homes[1]), true),
            set_config('search_path', format('pg_catalog, %I, pg_temp', homes[1]), true);
end $$;

-- Create the roles. They may log in, but have no password yet.
do $$
declare
    name text;
begin
    foreach name in array
        array['jeton_owner', 'jeton_service', 'jeton_operator', 'jeton_reader']
    loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I login', name);
        end if;
        if exists (select from pg_roles where rolname = name
                   and (rolsuper or rolcreaterole or rolreplication or rolbypassrls)) then
            raise exception 'the role % has attributes that privileges cannot limit', name
                using hint = format(
                    'alter role %I nosuperuser nocreaterole noreplication nobypassrls', name);
        end if;
    end loop;
    -- An operator can read everything that a reader can.
    if not pg_has_role('jeton_operator', 'jeton_reader', 'USAGE') then
        grant jeton_reader to jeton_operator;
    end if;
    -- Only a superuser may transfer ownership to a role of which it is not a member.
    if not pg_has_role('jeton_owner', 'USAGE') then
        execute format('grant jeton_owner to %I', current_user);
    end if;
end $$;

-- Privileges to connect and to create objects. jeton_owner does not own the database, so it leaves
-- that privilege alone when it runs this script again.
do $$
declare
    everybody constant text := 'jeton_owner, jeton_service, jeton_operator, jeton_reader';
    home constant text := current_setting('jeton.home');
    name text;
begin
    if pg_has_role((select nspowner from pg_namespace where oid = home::regnamespace), 'USAGE') then
        execute format('revoke create on schema %s from public', home);
        execute format('grant create on schema %s to jeton_owner', home);
        execute format('grant usage on schema %s to %s', home, everybody);
    else
        raise notice 'privileges on schema % are unchanged: only its owner can grant them', home;
    end if;
    if pg_has_role(
        (select datdba from pg_database where datname = current_database()), 'USAGE')
    then
        -- Temporary tables take precedence in functions that do not guard against them.
        execute format('revoke temporary on database %I from public', current_database());
        execute format('grant connect on database %I to %s', current_database(), everybody);
    else
        raise notice 'privileges on database % are unchanged: only its owner can grant them',
            current_database();
    end if;
    -- Outside `public`, the tables are found only by this setting.
    if home <> 'public' and (select rolsuper or rolcreaterole from pg_roles
                             where rolname = current_user) then
        foreach name in array string_to_array(everybody, ', ') loop
            execute format('alter role %s in database %I set search_path = %s',
                name, current_database(), home);
        end loop;
    end if;
end $$;

-- Transfer existing objects to jeton_owner. A role that owned them before becomes a member of
-- jeton_owner, so that nodes that still log in as that role keep working. The functions of Jeton
-- are those with the search path that the migrations set.
do $$
declare
    tables regclass[] := array[
        'access_token', 'audit', 'change', 'client', 'client_secret', 'deleted_client',
        'deleted_key', 'evidence', 'evidence_gap', 'installation', 'node', 'request',
        'revoked_token', 'secret_source', 'secret_use', 'token_partition', '_sqlx_migrations'];
    former regrole;
    change text;
begin
    select relowner into former from pg_class where oid = 'access_token'::regclass;
    tables := tables || array(
        select inhrelid::regclass from pg_inherits where inhparent = 'access_token'::regclass);
    for change in
        select format('alter table %s owner to jeton_owner', oid::regclass)
        from pg_class
        where oid = any (tables) and relowner <> 'jeton_owner'::regrole
        union all
        select format('alter function %s owner to jeton_owner', pg_proc.oid::regprocedure)
        from pg_proc join pg_roles on pg_roles.oid = proowner
        where pronamespace = current_setting('jeton.home')::regnamespace
          and format('search_path=pg_catalog, %s, pg_temp', current_setting('jeton.home'))
              = any (proconfig)
          and (proowner = former or rolsuper) and proowner <> 'jeton_owner'::regrole
    loop
        execute change;
    end loop;
    if former <> 'jeton_owner'::regrole
        and not (select rolsuper from pg_roles where oid = former)
    then
        execute format('grant jeton_owner to %s', former);
        raise warning '% owned the tables before and still has all privileges', former
            using hint = format(
                'when no node logs in as it any more: revoke jeton_owner from %s', former);
    end if;
end $$;

-- Functions that jeton_owner creates from now on can be executed by no other role until they are
-- granted.
alter default privileges for role jeton_owner revoke execute on functions from public;

-- Revoke all privileges. No role has any but those granted below.
revoke all on
    access_token, audit, change, client, client_secret, deleted_client, deleted_key, evidence,
    evidence_gap, installation, node, request, revoked_token, secret_source, secret_use,
    token_partition, _sqlx_migrations
    from public, jeton_service, jeton_operator, jeton_reader;
do $$
declare
    function regprocedure;
begin
    for function in
        select oid from pg_proc
        where pronamespace = current_setting('jeton.home')::regnamespace
          and format('search_path=pg_catalog, %s, pg_temp', current_setting('jeton.home'))
              = any (proconfig)
          and proowner = 'jeton_owner'::regrole
    loop
        execute format('revoke all on function %s
            from public, jeton_service, jeton_operator, jeton_reader', function);
    end loop;
end $$;

-- A reader can read everything except hashes, digests, tag keys and the ids of nodes: a session
-- that knows the id of a node can act as that node.
grant select on
    audit, change, client, deleted_key, evidence, evidence_gap, request, revoked_token,
    secret_source, secret_use, token_partition, _sqlx_migrations
    to jeton_reader;
grant select (id, client_id, deleted_at, client) on deleted_client to jeton_reader;
grant select
    (handle, applied, renewals, lease_until, lease_ms, joined_at, schema_version, recorder)
    on node to jeton_reader;
grant execute on function require_lease(uuid, bigint) to jeton_reader;
do $$
declare
    seen record;
begin
    for seen in
        select attrelid::regclass as of_table, string_agg(quote_ident(attname), ', ') as columns
        from pg_attribute
        where attnum > 0 and not attisdropped
          and attrelid in ('access_token'::regclass, 'client_secret'::regclass,
                           'installation'::regclass)
          and attname not in ('digest', 'foreign_hash', 'hash', 'tag_key', 'next_tag_key',
                              'previous_tag_key')
        group by attrelid
    loop
        execute format('grant select (%s) on %s to jeton_reader', seen.columns, seen.of_table);
    end loop;
end $$;

-- An operator can also read the tag keys, which are needed to make a secret, rotate them, and revoke
-- all tokens. It can change what operators decide, but not the id of a client, nor the hash or the client of a secret. Secrets are
-- retired and not deleted, and a revocation cannot be undone.
grant select (tag_key, next_tag_key, previous_tag_key) on installation to jeton_operator;
grant insert on client to jeton_operator;
grant update (
    client_id, name, state, grant_types, scopes, default_scopes, audiences, default_audience,
    several_audiences, serves, token_lifetime_seconds, tokens_per_second, token_burst, live_tokens,
    labels, owner, note, grantable_scopes, grantable_audiences,
    not_before, generation, version) on client to jeton_operator;
grant insert on client_secret to jeton_operator;
grant update (label, expires_at, retired_at, burnt_at, retire_at, kept_expires_at)
    on client_secret to jeton_operator;
grant insert on revoked_token to jeton_operator;
grant insert (actor, request_id, digest, client, secret) on request to jeton_operator;
grant execute on function
    delete_client(text), delete_client(text, bigint), undelete_client(uuid),
    undelete_client(uuid, bigint), burn_kept_secret(uuid),
    remint_secret(text, uuid, text), end_lease(uuid, bigint, timestamptz), revoke_all_tokens(),
    offer_tag_key(bytea), adopt_tag_key(), retire_tag_key(), record_recovery(text)
    to jeton_operator;

-- A node checks secrets and tokens, and records tokens and revocations. It records the uses of
-- secrets, declares those leaked that are reported to it, and does the upkeep through functions that
-- limit what it can do.
grant select on
    access_token, change, client, client_secret, installation, revoked_token, _sqlx_migrations
    to jeton_service;
grant insert on access_token, revoked_token to jeton_service;
grant select (handle, applied, renewals, lease_until, lease_ms, joined_at, schema_version)
    on node to jeton_service;
grant select (seq, hash) on audit to jeton_service;
grant execute on function
    revoke_tokens(uuid[]), burn_secret(uuid), kept_secret(uuid),
    replace_foreign_hash(uuid, text, text),
    require_lease(uuid, bigint), join_feed(integer), join_feed(integer, integer),
    join_feed(integer, integer, uuid), begin_evidence(integer),
    record_secret_uses(uuid[], timestamptz[], timestamptz[], text[], bigint[], bigint[],
                       timestamptz[], text[]),
    record_secret_sources(uuid[], text[], timestamptz[], timestamptz[], bigint[]),
    mark_evidence(uuid, timestamptz, integer, timestamptz), end_evidence(uuid),
    forget_secret_uses(), forget_secret_hashes(timestamptz), forget_kept_rows(),
    renew_lease(uuid, bigint, boolean),
    leave_feed(uuid), end_lease(uuid, bigint, timestamptz), keep_announcing(),
    make_partitions(timestamptz), drop_dead_partitions(timestamptz),
    forget_revocations(timestamptz), forget_changes(), cut_audit(integer, bigint)
    to jeton_service;

commit;
