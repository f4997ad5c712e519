-- Every way to write a row reaches the nodes and the audit trail: inserts, changed keys, sessions
-- that write as a replica, and single partitions.

-- The version of a client is the etag of its row, so it grows with an edit by hand as well. A
-- statement that sets a greater one, as those of Jeton do, is left as it is.
create function grow_client_version() returns trigger
    language plpgsql set search_path from current as $$
begin
    if new is distinct from old and new.version <= old.version then
        new.version := old.version + 1;
    end if;
    return new;
end $$;
create trigger client_version_grows before update on client
    for each row execute function grow_client_version();

-- A revocation that is removed before its token expires would make the token active again. Jeton
-- removes revocations by keep_until, so a row inserted by hand must not name an earlier moment.
create function keep_revocation() returns trigger
    language plpgsql security definer set search_path from current as $$
declare
    expiry timestamptz;
begin
    select token.expires_at into expiry from access_token as token where token.id = new.id;
    new.keep_until := greatest(new.keep_until, expiry);
    return new;
end $$;
create trigger revocation_outlives_its_token before insert or update on revoked_token
    for each row execute function keep_revocation();

-- Inserts are announced as well. No node caches that a row is absent, but a tool may replace rows
-- in ways that fire no trigger for the old row, and one more row in the feed is cheap. An update
-- may change the key, and then it concerns two subjects.
create or replace function announce_client() returns trigger
    language plpgsql set search_path from current as $$
begin
    if tg_op <> 'INSERT' then
        perform announce('client', old.id);
    end if;
    if tg_op <> 'DELETE' and new.id is distinct from old.id then
        perform announce('client', new.id);
    end if;
    return null;
end $$;

create or replace function announce_secret() returns trigger
    language plpgsql set search_path from current as $$
begin
    if tg_op <> 'INSERT' then
        perform announce('client', old.client);
    end if;
    if tg_op <> 'DELETE' and new.client is distinct from old.client then
        perform announce('client', new.client);
    end if;
    return null;
end $$;

create or replace function announce_revocation() returns trigger
    language plpgsql set search_path from current as $$
begin
    if tg_op <> 'INSERT' then
        perform announce('token', old.id);
    end if;
    if tg_op <> 'DELETE' and new.id is distinct from old.id then
        perform announce('token', new.id);
    end if;
    return null;
end $$;

create or replace function announce_token() returns trigger
    language plpgsql set search_path from current as $$
begin
    perform announce('token', old.id);
    if tg_op = 'UPDATE' and new.id <> old.id then
        perform announce('token', new.id);
    end if;
    return null;
end $$;

create constraint trigger client_insert_is_announced after insert on client
    deferrable initially deferred for each row execute function announce_client();
create constraint trigger client_secret_insert_is_announced after insert on client_secret
    deferrable initially deferred for each row execute function announce_secret();
create constraint trigger installation_insert_is_announced after insert on installation
    deferrable initially deferred for each row execute function announce_everything();
create trigger installation_truncation_is_announced after truncate on installation
    for each statement execute function announce_everything();
create trigger installation_truncation_is_audited after truncate on installation
    for each statement execute function audit_truncation('installation');

-- The first row is made by the first migration, before there is anything to audit.
create function audit_installation_insert() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    if exists (select from audit) then
        perform record_audit(
            'installation.create', null, null, null, audit_detail(null, to_jsonb(new)));
    end if;
    return null;
end $$;
create constraint trigger installation_insert_is_audited after insert on installation
    deferrable initially deferred for each row execute function audit_installation_insert();

-- A token that is inserted beside Jeton is a grant that no client asked for. The issues of nodes are
-- left out, since an announcement of each would put all of them in one order: a node names itself
-- as the actor, and one of the version before by the name of its session. There is one trigger for
-- a statement, because one for each row makes an insert a tenth slower.
create function announce_inserted_tokens() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    -- Passes over an insert of no rows. The counts are those of the session since it last reported
    -- them, so after another insert a moment ago this one is told of as well.
    if current_setting('track_counts')::boolean and not exists (
        select from pg_inherits where inhparent = 'access_token'::regclass
            and pg_stat_get_xact_tuples_inserted(inhrelid) > 0) then
        return null;
    end if;
    perform announce('everything', null);
    perform record_audit('token.create', null, null, null, '{}');
    return null;
end $$;
create trigger access_token_insert_is_announced after insert on access_token
    for each statement
    when (coalesce(current_setting('jeton.actor', true), '') = ''
          and current_setting('application_name') <> 'jeton')
    execute function announce_inserted_tokens();

create table token_partition (
    name       text        not null,
    dead_from  timestamptz,
    constraint token_partition_pk primary key (name)
);
comment on table token_partition is
    'The partitions of access_token that were seen. A partition can be detached or dropped, which fires no trigger, so nodes compare this list with what is attached.';
comment on column token_partition.name is
    'The name of its table.';
comment on column token_partition.dead_from is
    'From when no token in it can be alive, so that nobody needs to hear that it is gone; null if its bounds do not tell.';

-- On each partition, for statements that name it and not access_token. It stays when the partition
-- is detached, so that rows which are edited meanwhile and attached again are known of.
create function announce_partition() returns trigger
    language plpgsql security definer set search_path from current as $$
declare
    is_attached boolean := exists (
        select from pg_inherits
        where inhrelid = tg_relid and inhparent = 'access_token'::regclass);
begin
    -- Rows of an attached partition that are updated or deleted have the triggers of access_token.
    if is_attached and tg_op in ('UPDATE', 'DELETE') then
        return null;
    end if;
    if current_setting('track_counts')::boolean and 0 = (case tg_op
        when 'INSERT' then pg_stat_get_xact_tuples_inserted(tg_relid)
        when 'UPDATE' then pg_stat_get_xact_tuples_updated(tg_relid)
        when 'DELETE' then pg_stat_get_xact_tuples_deleted(tg_relid) end) then
        return null;
    end if;
    perform announce('everything', null);
    -- Whoever truncates access_token truncates each partition, and is in the trail already.
    if not exists (
        select from (select * from audit order by seq desc limit 1) as last
        where last.at >= statement_timestamp() and last.action = 'token.truncate'
          and last.detail = '{}') then
        perform record_audit(
            'token.' || lower(replace(tg_op, 'INSERT', 'CREATE')), null, null, null,
            jsonb_build_object('partition', tg_table_name));
    end if;
    return null;
end $$;

create function announce_partition_writes(partition regclass) returns void
    language plpgsql security definer set search_path from current as $$
declare
    upper_bound text := (
        select substring(pg_get_expr(relpartbound, oid) from $re$ TO \('([0-9a-f-]{36})'\)$re$)
        from pg_class where oid = partition);
    -- An id begins with 48 bits of milliseconds since 1970.
    ends_at timestamptz := to_timestamp(
        ('x' || left(replace(upper_bound, '-', ''), 12))::bit(48)::bigint / 1000.0);
begin
    if not exists (select from pg_inherits
                   where inhrelid = partition and inhparent = 'access_token'::regclass) then
        raise exception '% is no partition of access_token', partition;
    end if;
    if not exists (select from pg_trigger where tgrelid = partition
                   and tgname = 'access_token_partition_is_announced') then
        execute format(
            'create trigger access_token_partition_is_announced
             after insert or update or delete or truncate on %s
             for each statement execute function announce_partition()', partition);
        execute format(
            'alter table %s enable always trigger access_token_partition_is_announced', partition);
    end if;
    insert into token_partition (name, dead_from)
    select relname, ends_at + interval '1 day 1 second' from pg_class where oid = partition
    on conflict on constraint token_partition_pk do update set dead_from = excluded.dead_from
        where token_partition.dead_from is distinct from excluded.dead_from;
end $$;
comment on function announce_partition_writes is
    'Watches a partition of access_token: what is written to it by its own name, and whether it stays attached. To be called when a partition was attached; again is no error.';
revoke execute on function announce_partition_writes from public;

create function notice_lost_partitions() returns void
    language plpgsql security definer set search_path from current as $$
declare
    lost token_partition;
begin
    for lost in
        select * from token_partition as seen
        where not exists (
            select from pg_inherits join pg_class on pg_class.oid = inhrelid
            where inhparent = 'access_token'::regclass and not inhdetachpending
              and relname = seen.name)
    loop
        delete from token_partition where name = lost.name;
        -- Another node may have been quicker. Dead partitions are dropped by Jeton itself.
        if found and (lost.dead_from is null or lost.dead_from > now()) then
            perform set_config('jeton.actor', 'jeton', true);
            perform announce('everything', null);
            perform record_audit('token.truncate', null, null, null,
                jsonb_build_object('lost_partition', lost.name));
        end if;
    end loop;
end $$;
comment on function notice_lost_partitions is
    'Announces and audits that a partition with living tokens was detached or dropped. Nodes call it with every renewal of their lease.';
revoke execute on function notice_lost_partitions from public;

create function quiet_triggers() returns table (relation regclass, name name)
    language sql stable set search_path from current as $$
    select tgrelid::regclass, tgname from pg_trigger
    where tgenabled <> 'A' and tgfoid in (
        'announce_client()'::regprocedure, 'announce_secret()'::regprocedure,
        'announce_revocation()'::regprocedure, 'announce_token()'::regprocedure,
        'announce_everything()'::regprocedure, 'announce_partition()'::regprocedure,
        'announce_inserted_tokens()'::regprocedure,
        'audit_row()'::regprocedure, 'audit_truncation()'::regprocedure,
        'audit_installation_insert()'::regprocedure, 'refuse_audit_change()'::regprocedure,
        'grow_client_version()'::regprocedure, 'keep_revocation()'::regprocedure)
$$;
comment on function quiet_triggers is
    'The triggers that do not fire in every session. Without ENABLE ALWAYS a trigger is passed over where session_replication_role is replica: in workers of logical replication, and in sessions of tools that load or synchronise data.';

create function keep_announcing() returns void
    language plpgsql security definer set search_path from current
    set lock_timeout = '200ms' as $$
declare
    partition regclass;
    quiet record;
begin
    for partition in
        select inhrelid::regclass from pg_inherits
        where inhparent = 'access_token'::regclass and not inhdetachpending
    loop
        begin
            perform announce_partition_writes(partition);
        exception when lock_not_available then
            -- Somebody writes for long. The next call tries again, and nobody waits behind this.
        end;
    end loop;
    for quiet in select * from quiet_triggers() loop
        begin
            execute format(
                'alter table %s enable always trigger %I', quiet.relation, quiet.name);
        exception when lock_not_available then
        end;
    end loop;
end $$;
comment on function keep_announcing is
    'Watches partitions that others attached, and enables the triggers again: ALTER TABLE … ENABLE TRIGGER ALL, which pg_restore --disable-triggers ends with, leaves them quiet in sessions that write as a replica.';
revoke execute on function keep_announcing from public;

do $$
declare
    partition regclass;
    quiet record;
begin
    for partition in
        select inhrelid::regclass from pg_inherits where inhparent = 'access_token'::regclass
    loop
        perform announce_partition_writes(partition);
    end loop;
    for quiet in select * from quiet_triggers() loop
        execute format('alter table %s enable always trigger %I', quiet.relation, quiet.name);
    end loop;
end $$;

comment on table installation is
    'What was made once, at the first migration. Exactly one row; while it is missing, no token is told to be active.';
comment on column client.version is
    'Grows with every change of the row, also by hand.';
comment on column client_secret.burnt_at is
    'When it was declared leaked; null if it was not. Tokens issued with it are inactive, and so are those of a secret whose row was deleted.';
comment on column access_token.secret is
    'client_secret.id of the secret that it was issued with, so that a leak can be answered precisely. While there is no such row, the token is inactive.';
comment on column revoked_token.keep_until is
    'When the token would have been dead anyway, and this row can go. Never before access_token.expires_at, whatever is written.';
comment on column audit.action is
    'The thing and what was done. client, secret and installation: create, update, delete; token: revoke, unrevoke, update, delete, and create if it was inserted beside Jeton; for a whole table or one partition of tokens, one of these or revocation: truncate; audit.cut where old rows were removed.';
