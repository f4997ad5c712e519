-- Rotation of the tag key, revocation of all tokens, and secrets by their expiry.

-- 1. Tag keys. A rotation has three steps. A new key is offered as the next one; when every node
-- accepts it, it is adopted as the current one; and the previous one is retired when nothing that
-- was made with it is needed any more.

alter table installation
    add column next_tag_key bytea,
    add column previous_tag_key bytea,
    add column tag_key_since timestamptz,
    add constraint installation_next_tag_key_is_256_bits
        check (octet_length(next_tag_key) = 32),
    add constraint installation_previous_tag_key_is_256_bits
        check (octet_length(previous_tag_key) = 32),
    add constraint installation_accepts_two_tag_keys_at_most
        check (next_tag_key is null or previous_tag_key is null);
comment on column installation.tag_key is
    'The current tag key, with which secrets and tokens are made. The tag refuses guesses cheaply and authenticates nothing by itself.';
comment on column installation.next_tag_key is
    'The tag key that a rotation has offered. It is accepted, and nothing is made with it yet. Null if there is none.';
comment on column installation.previous_tag_key is
    'The tag key before the last rotation. It is accepted until it is retired, which makes it null.';
comment on column installation.tag_key_since is
    'Since when the current tag key is used, by the clock of this database. Null if it is the first one.';

alter table node add column schema_version integer not null default 0;
comment on column node.schema_version is
    'The version of the schema that the node was built for; 0 for nodes built for version 10 or an earlier one, which know only the first tag key.';

create function join_feed(lease_ms integer, schema_version integer)
    returns table (node_id uuid, place bigint)
    language plpgsql strict security definer as $$
declare
    -- No node is waited for longer than that, whatever it says.
    lasts integer := greatest(1, least(lease_ms, 4000));
begin
    return query
        insert into node (id, applied, lease_until, lease_ms, schema_version)
        values (gen_random_uuid(), (select coalesce(max(change.id), 0) from change),
                clock_timestamp() + make_interval(secs => lasts / 1000.0), lasts,
                join_feed.schema_version)
        returning id, applied;
end $$;
comment on function join_feed(integer, integer) is
    'Adds a node, built for this version of the schema, after the last change that there is, with a lease of so many milliseconds, 4000 at most. Says its id and its place in the feed.';

-- For nodes of earlier versions. They read the tag key once, when they start.
create or replace function join_feed(lease_ms integer)
    returns table (node_id uuid, place bigint)
    language plpgsql strict security definer as $$
declare
    since timestamptz;
begin
    -- Waits for a rotation that adopts its key now and has counted the nodes of earlier versions.
    select tag_key_since into since from installation for share;
    if since is not null then
        raise exception 'this node knows only the first tag key, which was rotated'
            using hint = 'replace it by a node of a later version';
    end if;
    return query select * from join_feed(lease_ms, 0);
end $$;
comment on function join_feed(integer) is
    'Like join_feed with two arguments, for nodes built for an earlier version of the schema. Refuses them once the tag key was rotated.';

create function offer_tag_key(key bytea) returns boolean
    language plpgsql strict security definer as $$
begin
    update installation set next_tag_key = coalesce(next_tag_key, key)
        where previous_tag_key is null;
    return found;
end $$;
comment on function offer_tag_key is
    'Begins a rotation of the tag key: this key is accepted from now on. An offer that is there already stays. False while the previous key is still accepted.';

create function adopt_tag_key() returns bigint
    language plpgsql security definer as $$
declare
    earlier bigint;
begin
    -- Nodes of earlier versions that join now wait for this row.
    perform from installation where next_tag_key is not null for update;
    if not found then
        return null;
    end if;
    select count(*) into earlier from node where schema_version < 11;
    if earlier = 0 then
        update installation
            set previous_tag_key = tag_key, tag_key = next_tag_key, next_tag_key = null,
                tag_key_since = clock_timestamp();
    end if;
    return earlier;
end $$;
comment on function adopt_tag_key is
    'Makes the next tag key the current one, once every node has applied the offer. Says how many nodes of earlier versions there are: with one or more nothing is changed. Null if there is no next key.';

create function retire_tag_key() returns boolean
    language plpgsql security definer as $$
begin
    update installation set previous_tag_key = null where previous_tag_key is not null;
    return found;
end $$;
comment on function retire_tag_key is
    'Ends the previous tag key: secrets and tokens made with it are refused. False if there is none.';

-- As before, with the new keys.
create or replace function audit_detail(before jsonb, after jsonb) returns jsonb
    language plpgsql immutable as $$
begin
    if before is null or after is null then
        return coalesce(after, before)
            - '{id,client,client_id,hash,digest,tag_key,next_tag_key,previous_tag_key}'::text[];
    end if;
    return (
        select jsonb_object_agg(key, case
            when key in ('hash', 'digest', 'tag_key', 'next_tag_key', 'previous_tag_key')
                then '"changed"'::jsonb
            else jsonb_build_array(old.value, new.value) end)
        from jsonb_each(before) as old join jsonb_each(after) as new using (key)
        where old.value <> new.value);
end $$;

-- 2. All tokens.

create function revoke_all_tokens() returns boolean
    language plpgsql security definer as $$
begin
    update installation set generation = generation + 1;
    return found;
end $$;
comment on function revoke_all_tokens is
    'Revokes every token that there is now, of every client. False if the row of the installation is missing.';

-- 3. Secrets by their expiry. Nodes ask for those that end soon.

create index client_secret_by_expiry on client_secret (expires_at)
    where retired_at is null and burnt_at is null;

-- 4. Rights. Nodes may join in the new way, and operators make secrets, before the script of the
-- roles is run again. It alone grants what is new.

select guard_functions(
    '^(adopt_tag_key|audit_detail|join_feed|offer_tag_key|retire_tag_key|revoke_all_tokens)$');
do $$
declare
    may record;
begin
    for may in
        select distinct grantee::regrole as name
        from pg_proc cross join lateral aclexplode(proacl)
        where pg_proc.oid = 'join_feed(integer)'::regprocedure and grantee <> 0
          and grantee <> proowner
    loop
        execute format('grant execute on function join_feed(integer, integer) to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_attribute cross join lateral aclexplode(attacl)
        where attrelid = 'installation'::regclass and attname = 'tag_key' and grantee <> 0
          and privilege_type = 'SELECT'
    loop
        execute format(
            'grant select (next_tag_key, previous_tag_key) on installation to %s', may.name);
    end loop;
end $$;
