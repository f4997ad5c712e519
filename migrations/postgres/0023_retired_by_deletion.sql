-- What happens to a secret while its client is deleted holds when the client comes back. Until now a
-- secret that leaked meanwhile came back alive. Binaries of before call the same functions, and get what
-- is new here.

-- 1. Kept secrets. They are found by their ids, and are erased as those of other clients are.

create index deleted_client_by_secret on deleted_client using gin (secrets jsonb_path_ops);
comment on column deleted_client.secrets is
    'The rows of client_secret as they were, with their hashes. One that is reported meanwhile is declared leaked here, and hashes are erased 30 days after their secrets ended.';

create function without_old_hashes(secrets jsonb, moment timestamptz, ended timestamptz)
    returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(
        case when secret ->> 'forgotten_at' is null
                  and ((secret ->> 'retired_at')::timestamptz < ended
                       or (secret ->> 'burnt_at')::timestamptz < ended
                       or (secret ->> 'expires_at')::timestamptz < ended)
            then secret || jsonb_build_object('hash', '$argon2id$', 'forgotten_at', moment)
                || case when secret ->> 'foreign_hash' is null then '{}'
                        else '{"foreign_hash": "$argon2id$"}' end::jsonb
            else secret end
        order by place), '[]')
    from jsonb_array_elements(secrets) with ordinality as kept (secret, place)
$$;
comment on function without_old_hashes is
    'Secrets of a deleted client without the hashes of those that had ended before a moment. They are erased at another one.';

-- As before, and those of deleted clients.
create or replace function forget_secret_hashes(node_now timestamptz) returns bigint
    language plpgsql strict security definer as $$
declare
    now timestamptz := clock_timestamp();
    -- A clock that is ahead does not end the time in which a secret can be restored.
    ended timestamptz := least(node_now, now) - interval '30 days';
    forgotten bigint;
begin
    perform set_config('jeton.actor', 'jeton', true);
    update deleted_client
    set secrets = without_old_hashes(deleted_client.secrets, now, ended)
    where id in (
        select id from deleted_client
        where deleted_client.secrets <> without_old_hashes(deleted_client.secrets, now, ended)
        limit 200 for update skip locked);
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

create function kept_secret(named uuid) returns setof client_secret
    language sql stable strict security definer as $$
    select kept.*
    from deleted_client
    cross join lateral jsonb_populate_recordset(null::client_secret, deleted_client.secrets) as kept
    where deleted_client.secrets @> jsonb_build_array(jsonb_build_object('id', named))
      and kept.id = named
$$;
comment on function kept_secret is
    'The secret of this id, with its hash, if its client was deleted and can come back.';

create function burn_kept_secret(named uuid) returns text
    language plpgsql strict security definer as $$
declare
    kept deleted_client;
    was jsonb;
    burnt jsonb;
    moment jsonb := to_jsonb(clock_timestamp());
begin
    select * into kept from deleted_client
        where deleted_client.secrets @> jsonb_build_array(jsonb_build_object('id', named))
        for update;
    if not found then
        return null;
    end if;
    select secret into was from jsonb_array_elements(kept.secrets) as secret
        where secret ->> 'id' = named::text;
    if was ->> 'burnt_at' is not null then
        return kept.client_id;
    end if;
    burnt := jsonb_build_object('burnt_at', moment) || case
        when was ->> 'retired_at' is null then jsonb_build_object('retired_at', moment)
        else '{}'::jsonb end;
    update deleted_client set secrets = (
        select jsonb_agg(case when secret = was then secret || burnt else secret end)
        from jsonb_array_elements(kept.secrets) as secret)
    where deleted_client.id = kept.id;
    perform record_audit('secret.update', kept.id, kept.client_id, named, (
        select jsonb_object_agg(key, jsonb_build_array(null, value)) from jsonb_each(burnt)));
    return kept.client_id;
end $$;
comment on function burn_kept_secret is
    'Declares the secret of this id leaked if its client was deleted and can come back: it stays out of use then. Says the client_id that the client had; null if there is no such secret.';

create or replace function burn_secret(named uuid) returns boolean
    language plpgsql strict security definer as $$
declare
    moment timestamptz := clock_timestamp();
begin
    update client_secret set retired_at = coalesce(retired_at, moment), burnt_at = moment
        where client_secret.id = named and client_secret.burnt_at is null;
    if found or exists (select from client_secret where client_secret.id = named) then
        return found;
    end if;
    if burn_kept_secret(named) is not null then
        return true;
    end if;
    -- Its client may have come back meanwhile.
    update client_secret set retired_at = coalesce(retired_at, moment), burnt_at = moment
        where client_secret.id = named and client_secret.burnt_at is null;
    return found;
end $$;
comment on function burn_secret is
    'Declares the secret of this id leaked: it no longer authenticates, and tokens issued with it are inactive. One of a deleted client stays out of use when the client comes back. False if there is none, or if it leaked before.';

-- 2. A deletion is taken back as somebody has read it, and with retired secrets: whether one leaked
-- while the client was deleted is known to people, and each that is wanted is restored by itself.

create function undelete_client(kept_id uuid, read_version bigint) returns boolean
    language plpgsql security definer as $$
declare
    kept deleted_client;
    restored jsonb;
    secrets jsonb;
    names text;
    moment timestamptz;
begin
    select * into kept from deleted_client
        where deleted_client.id = kept_id
          and (read_version is null
               or (deleted_client.client ->> 'version')::bigint = read_version)
        for update;
    if not found then
        return false;
    end if;
    restored := kept.client || jsonb_build_object(
        'state', 'disabled',
        'generation', (kept.client ->> 'generation')::bigint + 1,
        'version', (kept.client ->> 'version')::bigint + 1);
    moment := clock_timestamp();
    select coalesce(jsonb_agg(
        case when secret ->> 'retired_at' is null and secret ->> 'burnt_at' is null
                  and coalesce((secret ->> 'expires_at')::timestamptz > moment, true)
            then secret || jsonb_build_object('retired_at', moment)
            else secret end), '[]')
    into secrets
    from jsonb_array_elements(
        without_old_hashes(kept.secrets, moment, moment - interval '30 days')) as secret;
    begin
        delete from deleted_key
        where deleted_key.id = kept.id
           or deleted_key.id in (select (secret ->> 'id')::uuid
                                 from jsonb_array_elements(secrets) as secret);
        -- Columns that were added since then get their defaults.
        select string_agg(quote_ident(name), ', ') into names
        from jsonb_object_keys(restored) as name;
        execute format(
            'insert into client (%1$s) select %1$s from jsonb_populate_record(null::client, $1)',
            names) using restored;
        if secrets <> '[]' then
            select string_agg(quote_ident(name), ', ') into names
            from jsonb_object_keys(secrets -> 0) as name;
            execute format(
                'insert into client_secret (%1$s)
                 select %1$s from jsonb_populate_recordset(null::client_secret, $1)',
                names) using secrets;
        end if;
    exception when unique_violation then
        -- Another client has its client_id.
        return false;
    end;
    delete from deleted_client where deleted_client.id = kept.id;
    perform record_audit('client.undelete', kept.id, kept.client_id, null, '{}');
    return true;
end $$;
comment on function undelete_client(uuid, bigint) is
    'Makes a deleted client anew, if its row had this version (null for any): disabled, with its id and its secrets. Those that were live are retired now. Its tokens stay dead. False if it is not kept any more, or if another client has its client_id.';
create or replace function undelete_client(kept_id uuid) returns boolean
    language plpgsql strict security definer as $$
begin
    return undelete_client(kept_id, null);
end $$;
comment on function undelete_client(uuid) is
    'Makes a deleted client anew, as the function with two arguments does, whatever version its row had.';

-- 3. A secret gets another text only through the request that made it: one that was noted before the
-- audit trail says that the secret was made. Nobody knows its id earlier, and only the clock of this
-- database says when a request was noted. A secret of another system is never made by a request.
create or replace function remint_secret(of_actor text, of_request uuid, new_hash text)
    returns boolean language plpgsql strict security definer as $$
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
      and retired_at is null and burnt_at is null and retire_at is null and not is_foreign
      and (expires_at is null or expires_at > clock_timestamp())
      and not exists (select from secret_use where secret_use.secret = asked.secret
                      and (secret_use.uses > 0 or secret_use.first_used_at is not null))
      and exists (select from audit join client on client.client_id = audit.client_id
                  where client.id = asked.client and audit.client = asked.client
                    and audit.action = 'secret.create' and audit.subject = asked.secret
                    and audit.actor = asked.actor and audit.at >= asked.at);
    if not found then
        return false;
    end if;
    perform record_audit('secret.remint', asked.client,
        (select client.client_id from client where client.id = asked.client), asked.secret, '{}');
    return true;
end $$;
comment on function remint_secret is
    'Replaces the hash of the secret that this request made, because nobody knows its text. False if the secret was used, works no more, or was not made by the request.';

-- 4. A pattern that covers all hosts is refused, as Jeton itself refuses it. Rows from before stay as
-- they are, and nobody can read them.
alter table client
    add constraint client_grantable_audiences_have_hosts
        check (position(':/*' in array_to_string(grantable_audiences, chr(10))) = 0) not valid;

-- 5. Rights. Nodes and operators go on before the script of the roles is run again. It alone grants
-- what is new; here those who may do the like already are given it.

select guard_functions(
    '^(without_old_hashes|forget_secret_hashes|kept_secret|burn_kept_secret|burn_secret|'
    || 'undelete_client|remint_secret)$');
do $$
declare
    may record;
begin
    for may in
        select distinct grantee::regrole as name
        from pg_proc cross join lateral aclexplode(proacl)
        where pg_proc.oid = 'burn_secret(uuid)'::regprocedure and grantee <> 0
          and grantee <> proowner
    loop
        execute format('grant execute on function kept_secret(uuid) to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_proc cross join lateral aclexplode(proacl)
        where pg_proc.oid = 'undelete_client(uuid)'::regprocedure and grantee <> 0
          and grantee <> proowner
    loop
        execute format(
            'grant execute on function undelete_client(uuid, bigint), burn_kept_secret(uuid)
                 to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_class cross join lateral aclexplode(relacl)
        where pg_class.oid = 'request'::regclass and grantee <> 0 and grantee <> relowner
          and privilege_type = 'INSERT'
    loop
        execute format('revoke insert on request from %s', may.name);
        execute format(
            'grant insert (actor, request_id, digest, client, secret) on request to %s',
            may.name);
    end loop;
end $$;
