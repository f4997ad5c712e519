-- Rights in the database. Functions that run with the rights of the owner trust nothing of their
-- caller, and what nodes do beside reading and recording stands behind such functions, so that no
-- node and no operator needs the rights of the owner. `jeton migrate --print-roles` prints roles
-- that have just what they need.

-- 1. The order of changes.

-- Changes and rows of the trail are put in order by a lock of the table `installation`, and no more by
-- number 7160834520118, which anybody who may connect can hold, so that nothing could be revoked.
-- This mode conflicts with itself and not with those who read or write, and nobody but the owner may
-- take it. It is taken before a change gets its number, also where the function that writes it is
-- still that of before this migration.
create function put_in_order() returns trigger
    language plpgsql as $$
begin
    lock table only installation in share update exclusive mode;
    return null;
end $$;
comment on function put_in_order is
    'Lets one transaction write changes at a time, so that no reader passes over a smaller number that commits later. The trigger is one of the statement, for it must fire before the number is given out.';

create or replace function announce(kind text, subject uuid) returns void
    language plpgsql security definer as $$
begin
    insert into change (kind, subject) values (kind, subject);
    perform pg_notify('jeton_change', '');
end $$;

-- As before, but for the lock.
create or replace function record_audit(
    action text, client uuid, client_id text, subject uuid, detail jsonb)
    returns void language plpgsql security definer as $$
declare
    last audit;
    entry audit;
begin
    lock table only installation in share update exclusive mode;
    select * into last from audit order by seq desc limit 1;
    entry := row(
        coalesce(last.seq, 0) + 1, clock_timestamp(),
        nullif(current_setting('jeton.actor', true), ''), session_user,
        action, client, client_id, subject, detail, null);
    entry.hash := audit_hash(coalesce(last.hash, ''), entry);
    insert into audit select entry.*;
end $$;

-- 2. The audit trail.

-- The same hash as before. In plpgsql and without a helper, so that it has a search path of its own
-- and still keeps its plan. Every operator and function is called with exactly the types that the
-- system's own take: one that somebody made for other types would be preferred where it fits better.
create or replace function audit_hash(previous bytea, entry audit) returns bytea
    language plpgsql stable as $$
declare
    field text;
    whole text := '';
begin
    foreach field in array array[
        entry.seq::text, (extract(epoch from entry.at) * 1000000::numeric)::bigint::text,
        entry.actor, entry.login, entry.action, entry.client::text, entry.client_id,
        entry.subject::text, entry.detail::text]
    loop
        -- The length stands before each field, so that nothing can be moved into the next one.
        whole := whole || coalesce(
            octet_length(convert_to(field, 'UTF8'::name))::text || ':'::text || field, '-'::text);
    end loop;
    return sha256(previous || convert_to(whole, 'UTF8'::name));
end $$;
drop function audit_field(text);

-- Widths, grace periods and limits of the functions below: here and nowhere else.
create function upkeep_rules(
    out width_seconds bigint,     -- of a partition of access_token
    out behind integer,           -- partitions that stand ready before the present one
    out ahead integer,            -- and after it: room for a day
    out farthest interval,        -- how far a node's clock may be from ours to be made room for
    out longest_life interval,    -- of a token, as access_token_lives_at_most_a_day says
    out grace interval,           -- how much longer everything is kept, for clocks that differ
    out slice integer,            -- rows that one call removes
    out audit_days integer)       -- the least that nodes keep of the audit trail
    language sql immutable as $$
    select 21600, 1, 4, interval '168 hours', interval '86401 seconds', interval '1 hour', 20000, 30
$$;
comment on function upkeep_rules is
    'Widths, grace periods and limits of what nodes do to keep the database in order.';

-- Whether the login of this session has the rights of the owner, be it the owner, a member of it
-- or a superuser. It looks at the login, since within these functions everybody acts as the owner.
create function is_owner() returns boolean
    language plpgsql stable as $$
begin
    return pg_has_role(session_user, relowner, 'USAGE') from pg_class where oid = 'client'::regclass;
end $$;
comment on function is_owner is
    'Whether whoever is logged in has the rights of the owner of the tables.';

-- Removes old rows of the audit trail, as before. New is a minimum that is kept from roles that do
-- not own it: a node that was broken into must not erase what happened lately.
create or replace function cut_audit(days integer, most bigint) returns bigint
    language plpgsql security definer as $$
declare
    rules record;
    age interval;
    first bigint;
    last audit;
begin
    select * into rules from upkeep_rules();
    -- In hours, because a day has 23 or 25 of them where the time zone of the session says so.
    age := make_interval(hours => 24 * least(36500,
        greatest(days, case when is_owner() then 1 else rules.audit_days end)));
    lock table only installation in share update exclusive mode;
    select min(seq) into first from audit;
    -- Once a day: each cut is a row itself.
    if not exists (select from audit where seq = first
                   and at < now() - age - interval '24 hours') then
        return 0;
    end if;
    select * into last from audit
        where seq < least(first + least(most, rules.slice), (select max(seq) from audit))
          and at < now() - age
        order by seq desc limit 1;
    if last.seq is null then
        return 0;
    end if;
    perform set_config('jeton.actor', 'jeton', true);
    perform record_audit('audit.cut', null, null, null,
        jsonb_build_object('seq', last.seq, 'hash', encode(last.hash, 'hex')));
    delete from audit where seq <= last.seq;
    return last.seq - first + 1;
end $$;
comment on function cut_audit is
    'Removes rows that are older than so many days, at most so many rows. Rows of the last 30 days are kept whatever is asked for, unless the owner asks.';

-- 3. Partitions of access_token.

create function partition_name(start bigint) returns text
    language plpgsql immutable as $$
begin
    return 'access_token_' || to_char(to_timestamp(start) at time zone 'UTC', 'YYYYMMDD"t"HH24');
end $$;
comment on function partition_name is
    'The name of the partition that begins so many seconds after 1970: access_token_20261123t06.';

create function partition_bound(second bigint) returns uuid
    language plpgsql immutable as $$
begin
    return lpad(to_hex(second * 1000), 12, '0') || repeat('0', 20);
end $$;
comment on function partition_bound is
    'The smallest id of a token of that second: its time in milliseconds, and nothing behind it.';

-- Makes the partitions that are missing. It waits for others who make or drop some, and not for
-- those who read or write: a table is made first and attached then. The lock is one of the table,
-- because a lock by number can be held by anybody who may connect, and without partitions no token
-- is issued. Nodes of the version before take that number all the same and make partitions by
-- themselves; so it is taken if it is free, and else what they make at this moment is left to them.
create function make_partitions(node_now timestamptz) returns bigint
    language plpgsql strict security definer
    set default_tablespace = '' set default_table_access_method = heap as $$
declare
    rules record;
    home text;
    start bigint;
    made text;
    count bigint := 0;
begin
    select * into rules from upkeep_rules();
    select relnamespace::regnamespace into home from pg_class where oid = 'access_token'::regclass;
    lock table only access_token in share update exclusive mode;
    perform pg_try_advisory_xact_lock(7160834520117);
    for start in
        select distinct
            (floor(extract(epoch from moment) / rules.width_seconds)::bigint + step)
                * rules.width_seconds
        from unnest(array[clock_timestamp(), node_now]) as moment,
             generate_series(-rules.behind, rules.ahead) as step
        where moment between clock_timestamp() - rules.farthest
                         and clock_timestamp() + rules.farthest
        order by 1
    loop
        continue when exists (
            select from pg_inherits join pg_class on pg_class.oid = inhrelid
            where inhparent = 'access_token'::regclass and relname = partition_name(start));
        made := format('%s.%I', home, partition_name(start));
        begin
            execute format('create table %s (like access_token including all)', made);
        exception when duplicate_table or unique_violation then
            continue;
        end;
        execute format(
            'alter table access_token attach partition %s for values from (%L) to (%L)',
            made, partition_bound(start), partition_bound(start + rules.width_seconds));
        perform announce_partition_writes(made::regclass);
        count := count + 1;
    end loop;
    return count;
end $$;
comment on function make_partitions is
    'Makes the partitions around this moment and around the clock of this database that are missing, and says how many. A moment more than a week from that clock is not looked at.';

-- Drops one dead partition. That needs the whole table for a moment and lets others wait behind it,
-- so it gives up soon and is tried again in the next round. It is one partition a call, so that the
-- lock is held for no more than that.
create function drop_dead_partitions(node_now timestamptz) returns bigint
    language plpgsql strict security definer set lock_timeout = '200ms' as $$
declare
    rules record;
    dead regclass;
begin
    select * into rules from upkeep_rules();
    lock table only access_token in share update exclusive mode;
    -- Ours are those of which name and bounds are as we make them. What somebody attached by hand
    -- may hold anything.
    select partition into dead
    from (
        select inhrelid::regclass as partition, relname,
               regexp_match(pg_get_expr(relpartbound, pg_class.oid),
                   '^FOR VALUES FROM [(]''([0-9a-f-]{36})''[)] TO [(]''([0-9a-f-]{36})''[)]$')
                   as bounds
        from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = 'access_token'::regclass
    ) as standing
    cross join lateral (
        select ('x0000' || left(replace(bounds[1], '-', ''), 12))::bit(64)::bigint / 1000 as start
    ) as begun
    where relname = partition_name(start) and bounds[1]::uuid = partition_bound(start)
      and bounds[2]::uuid = partition_bound(start + rules.width_seconds)
      -- By both clocks, so that one that is ahead by hours takes no living token away.
      and to_timestamp(start + rules.width_seconds) + rules.longest_life + rules.grace
          < least(node_now, clock_timestamp())
    order by start limit 1;
    if dead is null then
        return 0;
    end if;
    execute format('drop table %s', dead);
    return 1;
exception when lock_not_available then
    return 0;
end $$;
comment on function drop_dead_partitions is
    'Drops the oldest partition whose tokens have all been dead for an hour, both at this moment and by the clock of this database, and says how many it dropped: one, or none.';

-- 4. Rows that are no longer needed.

-- Removes revocations of dead tokens, by the time that is in the id of the token, and of tokens that
-- are not there. keep_until alone does not decide, because whoever may revoke writes it: a mark that says that it may go at once would
-- stand in the place of a revocation that counts, and then go.
create function forget_revocations(node_now timestamptz) returns bigint
    language plpgsql strict security definer as $$
declare
    rules record;
    earlier timestamptz := greatest(least(node_now, clock_timestamp()), '1971-01-01 UTC');
    removed bigint;
begin
    select * into rules from upkeep_rules();
    delete from revoked_token where id in (
        select mark.id from revoked_token as mark
        where mark.keep_until < earlier - rules.grace
          and (mark.id < partition_bound(floor(
                   extract(epoch from earlier - rules.longest_life - rules.grace))::bigint)
               or not exists (select from access_token as token where token.id = mark.id))
        limit rules.slice);
    get diagnostics removed = row_count;
    delete from deleted_key
        where deleted_at < earlier - rules.longest_life - rules.grace;
    return removed;
end $$;
comment on function forget_revocations is
    'Removes marks of tokens that are not there or would have been dead for an hour anyway, both at this moment and by the clock of this database: 20000 at most. Says how many. Also forgets which clients and secrets were deleted, once their tokens are dead.';
comment on column revoked_token.keep_until is
    'When the token would have been dead anyway. Never before access_token.expires_at, whatever is written. The row goes later, and while the token is there not before a day and an hour after the time that is in the id.';

-- As before. A node names its place, so that nothing depends on how old a change is.
create or replace function forget_changes() returns bigint
    language plpgsql security definer as $$
declare
    forgotten bigint;
begin
    delete from change
    where id < least((select max(id) from change), (select min(applied) from node));
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;
comment on function forget_changes is
    'Removes changes that every node has applied, however old they are, but never the newest. Says how many.';
comment on table change is
    'The change feed. Triggers write it, also for rows that are edited by hand, and nodes read it in the order of id. A row is removed once every node has applied it.';

-- 5. The leases of nodes. The id of a node is known to that node alone, and lets it speak for itself
-- and for no other. Others know it by its handle, which tells nothing of the id.

create function join_feed(lease_ms integer) returns table (node_id uuid, place bigint)
    language plpgsql strict security definer as $$
declare
    -- No node is waited for longer than that, whatever it says.
    lasts integer := greatest(1, least(lease_ms, 4000));
begin
    return query
        insert into node (id, applied, lease_until, lease_ms)
        values (gen_random_uuid(), (select coalesce(max(change.id), 0) from change),
                clock_timestamp() + make_interval(secs => lasts / 1000.0), lasts)
        returning id, applied;
end $$;
comment on function join_feed is
    'Adds a node after the last change that there is, with a lease of so many milliseconds, 4000 at most. Says its id and its place in the feed.';

create function renew_lease(node_id uuid, place bigint, looks boolean)
    returns table (renewals bigint, newest bigint, micros bigint)
    language plpgsql strict security definer as $$
begin
    update node
        set applied = place, renewals = node.renewals + 1,
            lease_until = clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
        where id = node_id
        returning node.renewals into renewals;
    if not found then
        return;
    end if;
    if looks then
        perform notice_lost_partitions();
    end if;
    select last_value, (extract(epoch from clock_timestamp()) * 1000000)::bigint
        into newest, micros from change_id_seq;
    return next;
end $$;
comment on function renew_lease is
    'Says that a node has applied all changes up to a place, and renews its lease; looks for partitions that are gone, if asked. Returns the number of the renewal, the last place that was given out, and the time of this database in microseconds since 1970; nothing if there is no such node.';

create function leave_feed(node_id uuid) returns void
    language plpgsql strict security definer as $$
begin
    delete from node where id = node_id;
end $$;
comment on function leave_feed is
    'Removes a node, so that nobody waits for it.';

-- As before, and with the rights of the owner, since the id of a node is for nobody to read.
create or replace function require_lease(node uuid, renewals bigint) returns boolean
    language plpgsql volatile security definer as $$
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a standby' using errcode = 'JT001';
    end if;
    if require_lease.node is not null and not exists (
        select from node as held
        where held.id = require_lease.node and held.renewals >= require_lease.renewals)
    then
        raise exception 'the lease of this node is not on this server' using errcode = 'JT001';
    end if;
    return true;
end $$;

-- Like expire_lease, which takes the id of a node.
create function end_lease(node_handle uuid, renewals bigint, lease_until timestamptz)
    returns boolean
    language plpgsql strict security definer as $$
begin
    delete from node as held
    where held.handle = node_handle and held.renewals = end_lease.renewals
      and held.lease_until = end_lease.lease_until and held.lease_until < clock_timestamp();
    return found;
end $$;
comment on function end_lease is
    'Removes a lease that was not renewed since it was seen with this number and this end. Whoever calls it has waited for as long as the lease lasts.';

-- 6. What was taken back stays taken back for everybody but the owner, who may have to undo a
-- mistake.

create table deleted_key (
    id          uuid        not null,
    deleted_at  timestamptz not null default clock_timestamp(),
    constraint deleted_key_pk primary key (id)
);
comment on table deleted_key is
    'Clients and secrets that were deleted lately. Their ids are not given again while a token of theirs could live.';
comment on column deleted_key.id is
    'client.id or client_secret.id of what was deleted.';
comment on column deleted_key.deleted_at is
    'When it was deleted. The row goes a day and an hour later.';

-- Remembers the id of a client or secret that is deleted: at once and not at the commit, because
-- the row may be put in again by the very same statement.
create function remember_deletion() returns trigger
    language plpgsql as $$
begin
    insert into deleted_key (id) values (old.id)
        on conflict on constraint deleted_key_pk do update set deleted_at = excluded.deleted_at;
    return old;
end $$;
create trigger client_deletion_is_remembered before delete on client
    for each row execute function remember_deletion();
create trigger client_secret_deletion_is_remembered before delete on client_secret
    for each row execute function remember_deletion();

-- Refuses a row that would bring tokens back to life.
create function refuse_revival() returns trigger
    language plpgsql as $$
begin
    if is_owner()
        or (tg_op = 'INSERT'
            and not exists (select from deleted_key where deleted_key.id = new.id))
    then
        return new;
    end if;
    raise insufficient_privilege using
        message = format('tokens that were taken back by a change of %s stay dead', tg_table_name),
        hint = 'only the owner of the tables may bring them back';
end $$;
comment on function refuse_revival is
    'Refuses what would bring tokens back to life: the id of a client or secret that was deleted lately, a bound in time that is lowered, a leaked secret that is declared sound.';

create trigger client_stays_deleted before insert on client
    for each row execute function refuse_revival();
create trigger client_secret_stays_deleted before insert on client_secret
    for each row execute function refuse_revival();
create trigger client_not_before_stays before update on client for each row
    when (old.not_before is not null
          and (new.not_before is null or new.not_before < old.not_before))
    execute function refuse_revival();
create trigger leaked_secret_stays_leaked before update on client_secret for each row
    when (old.burnt_at is not null and new.burnt_at is null)
    execute function refuse_revival();

-- Deletes a client. Whoever may delete from a table may also lock it, and keep every node from
-- reading it.
create function delete_client(named text) returns boolean
    language plpgsql strict security definer as $$
begin
    delete from client where client_id = named;
    return found;
end $$;
comment on function delete_client is
    'Deletes the client of this client_id with its secrets; its tokens are dead. False if there is none.';

-- 7. Triggers that fire in every session. As before, with those of this migration and the one
-- before it.
create or replace function quiet_triggers() returns table (relation regclass, name name)
    language sql stable as $$
    select tgrelid::regclass, tgname from pg_trigger
    where tgenabled <> 'A' and tgfoid in (
        'announce_client()'::regprocedure, 'announce_secret()'::regprocedure,
        'announce_revocation()'::regprocedure, 'announce_token()'::regprocedure,
        'announce_everything()'::regprocedure, 'announce_partition()'::regprocedure,
        'announce_inserted_tokens()'::regprocedure,
        'audit_row()'::regprocedure, 'audit_truncation()'::regprocedure,
        'audit_installation_insert()'::regprocedure, 'refuse_audit_change()'::regprocedure,
        'grow_client_version()'::regprocedure, 'keep_revocation()'::regprocedure,
        'refuse_smaller_generation()'::regprocedure, 'put_in_order()'::regprocedure,
        'remember_deletion()'::regprocedure, 'refuse_revival()'::regprocedure)
$$;

-- In the order in which those who write lock the tables, so that none of them waits for this in a
-- circle, and the list of nodes last, which every answer reads.
create trigger change_is_put_in_order before insert on change
    for each statement execute function put_in_order();
do $$
declare
    quiet record;
begin
    for quiet in select * from quiet_triggers() loop
        execute format('alter table %s enable always trigger %I', quiet.relation, quiet.name);
    end loop;
end $$;
alter table node add column handle uuid not null generated always as
    (left(encode(sha256(uuid_send(id)), 'hex'), 32)::uuid) stored;
comment on column node.id is
    'Made anew at each start of a node, and known to it alone: whoever knows it speaks for the node.';
comment on column node.handle is
    'By what others name the node. Made of its id, which it does not tell.';

-- 8. What is the same for all functions. A migration that adds some calls it again.

create function guard_functions(named text) returns void
    language plpgsql as $$
declare
    home regnamespace;
    ours record;
begin
    select relnamespace into home from pg_class where oid = 'access_token'::regclass;
    for ours in
        select pg_proc.oid::regprocedure as signature, prorettype = 'trigger'::regtype as fires
        from pg_proc join pg_class on pg_class.oid = 'access_token'::regclass
        where pronamespace = home and proowner in (relowner, quote_ident(current_user)::regrole)
          and (proname ~ named or pg_proc.oid in (
              select tgfoid from pg_trigger
              where not tgisinternal
                and tgrelid in ('access_token'::regclass, 'audit'::regclass, 'change'::regclass,
                                'client'::regclass, 'client_secret'::regclass,
                                'installation'::regclass, 'node'::regclass,
                                'revoked_token'::regclass)))
    loop
        -- Names are looked for in the system's schema and in that of the tables. Temporary tables,
        -- which anybody may make, come last; where they are not named they come first.
        execute format('alter function %s set search_path = pg_catalog, %s, pg_temp',
            ours.signature, home);
        execute format('revoke all on function %s from public', ours.signature);
        -- Triggers call functions that nobody else may call.
        if ours.fires then
            execute format('alter function %s security definer', ours.signature);
        end if;
    end loop;
end $$;
comment on function guard_functions is
    'Gives those of our functions whose name matches, and all functions of our triggers, a search path of their own, and takes them from everybody. A migration that adds functions calls it.';
select guard_functions(
    '^(announce|announce_.*|audit_.*|cut_audit|delete_client|drop_dead_partitions|end_lease|'
    || 'expire_lease|forget_.*|grow_.*|guard_functions|is_owner|join_feed|keep_.*|leave_feed|'
    || 'make_partitions|notice_.*|partition_bound|partition_name|put_in_order|quiet_triggers|'
    || 'record_audit|refuse_.*|remember_.*|renew_lease|require_lease|upkeep_rules)$');

-- 9. Nobody but those who are allowed to makes objects here: an operator or a function in the
-- schema of the tables would be found by whoever looks names up there, and a temporary table by
-- functions of others that are not on their guard.
do $$
declare
    home regnamespace;
    of_schema oid;
    of_database oid;
begin
    select relnamespace, nspowner into home, of_schema
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where pg_class.oid = 'access_token'::regclass;
    select datdba into of_database from pg_database where datname = current_database();
    if pg_has_role(of_schema, 'USAGE') then
        execute format('revoke create on schema %s from public', home);
    elsif has_schema_privilege('public', home, 'CREATE') then
        raise notice 'anybody may make objects in the schema %, which its owner should end: revoke create on schema % from public', home, home;
    end if;
    if pg_has_role(of_database, 'USAGE') then
        execute format('revoke temporary on database %I from public', current_database());
    else
        raise notice 'anybody may make temporary tables, which the owner of the database should end: revoke temporary on database % from public', current_database();
    end if;
end $$;
