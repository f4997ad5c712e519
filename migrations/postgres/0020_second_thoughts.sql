-- Second thoughts: a deleted client comes back, and a request that made a secret may be repeated.

-- 1. Deleted clients. The rows themselves are deleted as before, so that nodes of every version know
-- nothing of the client; what is kept here decides nothing.

create table deleted_client (
    id          uuid        not null,
    client_id   text        not null,
    deleted_at  timestamptz not null default clock_timestamp(),
    client      jsonb       not null,
    secrets     jsonb       not null,
    constraint deleted_client_pk primary key (id)
);
create index deleted_client_by_client_id on deleted_client (client_id, deleted_at);
comment on table deleted_client is
    'Clients that were deleted through delete_client in the last 30 days, from which undelete_client makes them anew. A client that was deleted by hand is not here.';
comment on column deleted_client.id is
    'client.id of the client, which it gets again.';
comment on column deleted_client.client_id is
    'client.client_id of the client. Another client may have it meanwhile.';
comment on column deleted_client.deleted_at is
    'When it was deleted, by the clock of this database.';
comment on column deleted_client.client is
    'The row of client as it was, by the names of its columns.';
comment on column deleted_client.secrets is
    'The rows of client_secret as they were, with their hashes.';

create function delete_client(named text, expected bigint) returns boolean
    language plpgsql security definer as $$
declare
    gone client;
begin
    select * into gone from client
        where client.client_id = named and (expected is null or client.version = expected)
        for update;
    if not found then
        return false;
    end if;
    -- What others are changing of the secrets at this moment is kept as well.
    perform from client_secret where client_secret.client = gone.id for update;
    insert into deleted_client (id, client_id, client, secrets)
    select gone.id, gone.client_id, to_jsonb(gone), coalesce(jsonb_agg(to_jsonb(secret)), '[]')
    from client_secret as secret where secret.client = gone.id
    on conflict on constraint deleted_client_pk do update
        set client_id = excluded.client_id, deleted_at = excluded.deleted_at,
            client = excluded.client, secrets = excluded.secrets;
    delete from client where client.id = gone.id;
    return true;
end $$;
comment on function delete_client(text, bigint) is
    'Deletes the client of this client_id with its secrets, if its row has this version (null for any); its tokens are dead. Keeps what undelete_client needs. False if there is none.';
create or replace function delete_client(named text) returns boolean
    language plpgsql strict security definer as $$
begin
    return delete_client(named, null);
end $$;

-- The client comes back disabled and in a new generation, so no token from before is active. That is
-- why its id and those of its secrets may be used again.
create function undelete_client(kept_id uuid) returns boolean
    language plpgsql strict security definer as $$
declare
    kept deleted_client;
    restored jsonb;
    names text;
begin
    select * into kept from deleted_client where deleted_client.id = kept_id for update;
    if not found then
        return false;
    end if;
    restored := kept.client || jsonb_build_object(
        'state', 'disabled',
        'generation', (kept.client ->> 'generation')::bigint + 1,
        'version', (kept.client ->> 'version')::bigint + 1);
    begin
        delete from deleted_key
        where deleted_key.id = kept.id
           or deleted_key.id in (select (secret ->> 'id')::uuid
                                 from jsonb_array_elements(kept.secrets) as secret);
        -- Columns that were added since then get their defaults.
        select string_agg(quote_ident(name), ', ') into names
        from jsonb_object_keys(restored) as name;
        execute format(
            'insert into client (%1$s) select %1$s from jsonb_populate_record(null::client, $1)',
            names) using restored;
        if kept.secrets <> '[]' then
            select string_agg(quote_ident(name), ', ') into names
            from jsonb_object_keys(kept.secrets -> 0) as name;
            execute format(
                'insert into client_secret (%1$s)
                 select %1$s from jsonb_populate_recordset(null::client_secret, $1)',
                names) using kept.secrets;
        end if;
    exception when unique_violation then
        -- Another client has its client_id.
        return false;
    end;
    delete from deleted_client where deleted_client.id = kept.id;
    perform record_audit('client.undelete', kept.id, kept.client_id, null, '{}');
    return true;
end $$;
comment on function undelete_client is
    'Makes a deleted client anew, disabled, with its id and its secrets as they were. Its tokens stay dead. False if it is not kept any more, or if another client has its client_id.';

-- As before, and the uses of secrets that may come back stay.
create or replace function forget_secret_uses() returns bigint
    language plpgsql security definer as $$
declare
    forgotten bigint;
begin
    -- Rows that a node is writing are left to the next call, so that nobody waits.
    delete from secret_source where (secret, source) in (
        select secret, source from secret_source
        where not exists (select from client_secret where client_secret.id = secret)
          and not exists (select from deleted_client where secrets
                          @> jsonb_build_array(jsonb_build_object('id', secret_source.secret)))
        limit 10000 for update skip locked);
    delete from secret_use where secret in (
        select secret from secret_use
        where not exists (select from client_secret where client_secret.id = secret)
          and not exists (select from deleted_client where secrets
                          @> jsonb_build_array(jsonb_build_object('id', secret_use.secret)))
        limit 10000 for update skip locked);
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;

-- 2. Requests that made a secret, so that each makes one however often it comes.

create table request (
    actor       text        not null,
    request_id  uuid        not null,
    digest      bytea       not null,
    client      uuid        not null,
    secret      uuid        not null,
    at          timestamptz not null default clock_timestamp(),
    constraint request_pk primary key (actor, request_id),
    constraint request_digest_is_sha256 check (octet_length(digest) = 32)
);
create index request_by_time on request (at);
comment on table request is
    'Requests of the last day that made a secret. One that comes again makes no other.';
comment on column request.actor is
    'Who made the request, as the audit trail names it.';
comment on column request.request_id is
    'The id that the caller gave it.';
comment on column request.digest is
    'SHA-256 of its content, which the same id must not be used for twice with another one.';
comment on column request.client is
    'client.id of the client that it made or that got the secret.';
comment on column request.secret is
    'client_secret.id of the secret that it made.';
comment on column request.at is
    'When it was carried out, by the clock of this database.';

create function remint_secret(of_actor text, of_request uuid, new_hash text) returns boolean
    language plpgsql strict security definer as $$
declare
    asked request;
begin
    select * into asked from request
        where request.actor = of_actor and request.request_id = of_request;
    -- A secret that is made with the current tag key is never taken for an earlier one.
    update client_secret
    set hash = new_hash,
        created_at = greatest(created_at, (select tag_key_since + interval '1 microsecond'
                                           from installation))
    where client_secret.id = asked.secret and client_secret.client = asked.client
      and retired_at is null and burnt_at is null and retire_at is null
      and (expires_at is null or expires_at > clock_timestamp())
      and not exists (select from secret_use where secret_use.secret = asked.secret
                      and (secret_use.uses > 0 or secret_use.first_used_at is not null));
    if not found then
        return false;
    end if;
    perform record_audit('secret.remint', asked.client,
        (select client.client_id from client where client.id = asked.client), asked.secret, '{}');
    return true;
end $$;
comment on function remint_secret is
    'Replaces the hash of the secret that this request made, because nobody knows its text. False if the secret was used, or works no more.';

-- 3. Upkeep.

create function forget_kept_rows() returns bigint
    language plpgsql security definer as $$
declare
    forgotten bigint;
begin
    delete from request where (actor, request_id) in (
        select actor, request_id from request where at < clock_timestamp() - interval '24 hours'
        limit 10000 for update skip locked);
    delete from deleted_client where id in (
        select id from deleted_client where deleted_at < clock_timestamp() - interval '30 days'
        limit 10000 for update skip locked);
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;
comment on function forget_kept_rows is
    'Removes requests that are older than a day and clients that were deleted 30 days ago, at most ten thousand of each at once. Returns how many clients that were.';

-- 4. Rights. Nodes, operators and readers go on before the script of the roles is run again. It alone
-- grants what is new; here those who may do the like already are given it.

select guard_functions(
    '^(delete_client|undelete_client|forget_secret_uses|remint_secret|forget_kept_rows)$');
do $$
declare
    may record;
begin
    for may in
        select distinct grantee::regrole as name
        from pg_proc cross join lateral aclexplode(proacl)
        where pg_proc.oid = 'delete_client(text)'::regprocedure and grantee <> 0
          and grantee <> proowner
    loop
        execute format(
            'grant execute on function delete_client(text, bigint), undelete_client(uuid),
                 remint_secret(text, uuid, text) to %s', may.name);
        execute format('grant insert on request to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_proc cross join lateral aclexplode(proacl)
        where pg_proc.oid = 'forget_secret_uses()'::regprocedure and grantee <> 0
          and grantee <> proowner
    loop
        execute format('grant execute on function forget_kept_rows() to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_class cross join lateral aclexplode(relacl)
        where pg_class.oid = 'audit'::regclass and grantee <> 0 and grantee <> relowner
          and privilege_type = 'SELECT'
    loop
        execute format('grant select on request to %s', may.name);
        execute format(
            'grant select (id, client_id, deleted_at, client) on deleted_client to %s', may.name);
    end loop;
end $$;
