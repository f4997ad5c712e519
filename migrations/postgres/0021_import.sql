-- Clients of other systems, with their secrets. Nodes of the version before go on: they find no
-- secret for a text without a tag, and refuse a client id with the new characters.

alter table client
    drop constraint client_client_id_is_unreserved,
    add constraint client_client_id_is_printable
        check (client_id ~ '^[A-Za-z0-9._~@:/+%=-]{1,128}$');
comment on column client.client_id is
    'The public name by which the client authenticates: letters, digits and what e-mail addresses, URLs and URNs need.';

alter table client_secret
    add column foreign_hash text,
    add column is_foreign boolean not null default false,
    add constraint client_secret_is_foreign_says_whether_there_is_a_foreign_hash
        check (is_foreign = (foreign_hash is not null)),
    add constraint client_secret_foreign_hash_is_of_a_known_kind
        check (octet_length(foreign_hash) <= 256
               and foreign_hash ~ '^\$(argon2id|pbkdf2-sha1|pbkdf2-sha256|pbkdf2-sha512|2[aby])\$');
comment on column client_secret.foreign_hash is
    'Hash of the text of a secret that another system made, or of that text with argon2id. Null for a secret that was made here. hash then matches no text.';
comment on column client_secret.is_foreign is
    'Whether another system made it. Such a secret has no tag, so it does not end with a tag key.';
create index client_secret_of_other_systems on client_secret (client)
    where foreign_hash is not null;

-- As before, with the new column.
create or replace function audit_detail(before jsonb, after jsonb) returns jsonb
    language plpgsql immutable as $$
begin
    if before is null or after is null then
        return coalesce(after, before)
            - '{id,client,client_id,hash,foreign_hash}'::text[]
            - '{digest,tag_key,next_tag_key,previous_tag_key}'::text[];
    end if;
    return (
        select jsonb_object_agg(key, case
            when key in ('hash', 'foreign_hash', 'digest', 'tag_key', 'next_tag_key',
                         'previous_tag_key')
                then '"changed"'::jsonb
            else jsonb_build_array(old.value, new.value) end)
        from jsonb_each(before) as old join jsonb_each(after) as new using (key)
        where old.value <> new.value);
end $$;

-- As before, and that of another system.
create or replace function forget_secret_hashes(node_now timestamptz) returns bigint
    language plpgsql strict security definer as $$
declare
    now timestamptz := clock_timestamp();
    -- A clock that is ahead does not end the time in which a secret can be restored.
    ended timestamptz := least(node_now, now) - interval '30 days';
    forgotten bigint;
begin
    perform set_config('jeton.actor', 'jeton', true);
    -- Each has a row in the audit trail. Rows that somebody is changing are left to the next call, so
    -- that nobody waits.
    update client_secret
    set hash = '$argon2id$', forgotten_at = now,
        foreign_hash = case when is_foreign then '$argon2id$' end
    where id in (
        select id from client_secret
        where forgotten_at is null
          and (retired_at < ended or burnt_at < ended or expires_at < ended)
        limit 200 for update skip locked);
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;

create function replace_foreign_hash(secret uuid, from_hash text, to_hash text) returns boolean
    language plpgsql strict security definer as $$
begin
    if to_hash not like '$argon2id$%' then
        raise exception 'a hash is replaced by one of argon2id' using errcode = 'check_violation';
    end if;
    update client_secret set foreign_hash = to_hash
    where id = replace_foreign_hash.secret and foreign_hash = from_hash
      and foreign_hash not like '$argon2id$%'
      -- A node must not become an administrator.
      and not exists (select from client where client.id = client_secret.client
                      and array_to_string(client.scopes, ' ') ~ '(^| )jeton:');
    return found;
end $$;
comment on function replace_foreign_hash is
    'Replaces the hash of a secret that another system made by one of argon2id of the same text, which a node has just seen. False if the hash is not the one that it compared with.';
select guard_functions('^(audit_detail|forget_secret_hashes|replace_foreign_hash)$');
do $$
declare
    may record;
begin
    for may in
        select distinct grantee::regrole as name
        from pg_proc cross join lateral aclexplode(proacl)
        where pg_proc.oid = 'join_feed(integer, integer)'::regprocedure and grantee <> 0
          and grantee <> proowner
    loop
        execute format(
            'grant execute on function replace_foreign_hash(uuid, text, text) to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_attribute cross join lateral aclexplode(attacl)
        where attrelid = 'client_secret'::regclass and attname = 'retired_at' and grantee <> 0
          and privilege_type = 'SELECT'
    loop
        execute format('grant select (is_foreign) on client_secret to %s', may.name);
    end loop;
end $$;
