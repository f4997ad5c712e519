-- Evidence of the use of secrets, and retirement at a later time that can be taken back.

-- 1. Retirement at a later time. It moves expires_at, by which nodes of every version refuse a secret
-- at the same moment, and keeps what was there.

alter table client_secret
    add column retire_at timestamptz,
    add column kept_expires_at timestamptz,
    add constraint client_secret_retirement_ends_it
        check (retire_at is null or (expires_at is not null and expires_at <= retire_at));
comment on column client_secret.retire_at is
    'From when a retirement that was asked for in advance refuses it; null if there is none. expires_at is not later.';
comment on column client_secret.kept_expires_at is
    'What expires_at was before that retirement, which puts it back when it is taken back. Null if it never expired, or if there is no such retirement.';

-- 2. Uses. Nodes count them in memory and add them here every few seconds. Nothing here is announced
-- to nodes or audited, and nothing refers to the secrets: uses are written beside changes of secrets,
-- and neither must wait for the other.

create table secret_use (
    secret               uuid        not null,
    first_used_at        timestamptz,
    last_used_at         timestamptz,
    last_source          text,
    uses                 bigint      not null default 0,
    refused              bigint      not null default 0,
    last_refused_at      timestamptz,
    last_refused_source  text,
    constraint secret_use_pk primary key (secret)
);
comment on table secret_use is
    'When each secret was used, whatever for: to be issued a token, to introspect or to revoke one. A secret without a row was not used while uses were counted.';
comment on column secret_use.secret is
    'client_secret.id of the secret. The row is removed some minutes after the secret.';
comment on column secret_use.first_used_at is
    'When it authenticated a client for the first time; null if it never did.';
comment on column secret_use.last_used_at is
    'When it authenticated a client for the last time; null if it never did.';
comment on column secret_use.last_source is
    'The source of that use: an address, or the /64 network of an IPv6 address. Null if it is not known.';
comment on column secret_use.uses is
    'How often it authenticated a client. A use can be counted twice when the answer to a statement was lost.';
comment on column secret_use.refused is
    'How often it was refused because it was retired, leaked or expired, or its client disabled. Calls that the lockout refuses are not counted.';
comment on column secret_use.last_refused_at is
    'When that happened last; null if it never did.';
comment on column secret_use.last_refused_source is
    'The source of that call; null if it is not known.';

create table secret_source (
    secret         uuid        not null,
    source         text        not null,
    first_used_at  timestamptz not null,
    last_used_at   timestamptz not null,
    uses           bigint      not null,
    constraint secret_source_pk primary key (secret, source)
);
comment on table secret_source is
    'From where each secret was used: the eight sources that used it last.';
comment on column secret_source.secret is
    'client_secret.id of the secret.';
comment on column secret_source.source is
    'An address, or the /64 network of an IPv6 address.';
comment on column secret_source.first_used_at is
    'When the secret was used from there for the first time since the source is in this list.';
comment on column secret_source.last_used_at is
    'When the secret was used from there for the last time.';
comment on column secret_source.uses is
    'How often the secret was used from there since the source is in this list.';

-- 3. How far the evidence goes. A node has a row here before it has a lease, and therefore before it
-- serves. What it counted after flushed_at is lost if it dies, so that time is a gap.

create table evidence (
    recorder    uuid        not null,
    since       timestamptz not null,
    flushed_at  timestamptz not null,
    due_at      timestamptz not null,
    constraint evidence_pk primary key (recorder)
);
comment on table evidence is
    'The nodes that count uses. A node that stops in order writes what it has counted and removes its row.';
comment on column evidence.recorder is
    'By what others name the node here. Made of an id that only the node knows, as node.handle is.';
comment on column evidence.since is
    'When the node began to count.';
comment on column evidence.flushed_at is
    'Everything that the node counted until then is in secret_use.';
comment on column evidence.due_at is
    'By when the node wants to write again. A row that is overdue, of a node without a lease, becomes a gap.';

create table evidence_gap (
    since  timestamptz not null,
    until  timestamptz not null,
    constraint evidence_gap_pk primary key (since, until)
);
comment on table evidence_gap is
    'Times of which it is not known which secrets were used. The first one is the time before anything was counted.';
comment on column evidence_gap.since is
    'When it begins; -infinity for the time before anything was counted.';
comment on column evidence_gap.until is
    'When it ends; infinity until the first node counts.';
insert into evidence_gap (since, until) values ('-infinity', 'infinity');

alter table node add column recorder uuid;
comment on column node.recorder is
    'evidence.recorder of the node; null for a node of an earlier version, which does not count uses.';

-- A node that did not count leaves a gap for all the time that it had its lease.
create function note_mute_node() returns trigger
    language plpgsql security definer as $$
begin
    insert into evidence_gap (since, until)
        values (coalesce(old.joined_at, '-infinity'), clock_timestamp())
        on conflict on constraint evidence_gap_pk do nothing;
    return null;
end $$;
create trigger node_that_did_not_count_is_a_gap after delete on node
    for each row when (old.recorder is null) execute function note_mute_node();

-- 4. What nodes do with these tables.

create function recorder_of(id uuid) returns uuid language sql immutable strict as $$
    select left(encode(sha256(uuid_send(id)), 'hex'), 32)::uuid
$$;
comment on function recorder_of is
    'By what others name the node that knows this id.';

create function begin_evidence(due_ms integer) returns uuid
    language plpgsql strict security definer as $$
declare
    id uuid := gen_random_uuid();
    now timestamptz := clock_timestamp();
begin
    insert into evidence (recorder, since, flushed_at, due_at)
    values (recorder_of(id), now, now, now + make_interval(secs => due_ms / 1000.0));
    update evidence_gap set until = now where until = 'infinity';
    return id;
end $$;
comment on function begin_evidence is
    'Announces a node that counts uses from now on and wants to write them within so many milliseconds. Returns the id with which it writes.';

create function join_feed(lease_ms integer, schema_version integer, recorder_id uuid)
    returns table (node_id uuid, place bigint)
    language plpgsql security definer as $$
declare
    -- No node is waited for longer than that, whatever it says.
    lasts integer := greatest(1, least(lease_ms, 4000));
    now timestamptz := clock_timestamp();
begin
    -- Its row is gone if it was cut off for long. It had no lease then, and did not serve.
    insert into evidence (recorder, since, flushed_at, due_at)
        select recorder_of(recorder_id), now, now, now where recorder_id is not null
        on conflict on constraint evidence_pk do nothing;
    return query
        insert into node (id, applied, lease_until, lease_ms, schema_version, recorder)
        values (gen_random_uuid(), (select coalesce(max(change.id), 0) from change),
                now + make_interval(secs => lasts / 1000.0), lasts,
                join_feed.schema_version, recorder_of(recorder_id))
        returning id, applied;
end $$;
comment on function join_feed(integer, integer, uuid) is
    'Like join_feed with two arguments, for a node that counts uses and has this id for that.';

create function record_secret_uses(
    secrets uuid[], firsts timestamptz[], lasts timestamptz[], from_sources text[],
    counts bigint[], refusals bigint[], last_refusals timestamptz[], refused_sources text[])
    returns void language plpgsql strict security definer as $$
begin
    -- In the order of the ids, so that nodes that write the same secrets wait for each other and
    -- never in a circle.
    insert into secret_use as known
        (secret, first_used_at, last_used_at, last_source, uses, refused, last_refused_at,
         last_refused_source)
    select news.secret, news.first, news.last, news.source, news.uses, news.refused,
           news.last_refusal, news.refused_source
    from unnest(secrets, firsts, lasts, from_sources, counts, refusals, last_refusals,
                refused_sources)
        as news (secret, first, last, source, uses, refused, last_refusal, refused_source)
    where exists (select from client_secret where client_secret.id = news.secret)
    order by news.secret
    on conflict on constraint secret_use_pk do update
    set first_used_at = least(known.first_used_at, excluded.first_used_at),
        last_used_at = greatest(known.last_used_at, excluded.last_used_at),
        last_source = case
            when known.last_used_at is null or excluded.last_used_at >= known.last_used_at
            then excluded.last_source else known.last_source end,
        -- A number that was edited by hand does not overflow.
        uses = least(known.uses, 9223372036854775807 - excluded.uses) + excluded.uses,
        refused = least(known.refused, 9223372036854775807 - excluded.refused)
            + excluded.refused,
        last_refused_at = greatest(known.last_refused_at, excluded.last_refused_at),
        last_refused_source = case
            when known.last_refused_at is null
                or excluded.last_refused_at >= known.last_refused_at
            then excluded.last_refused_source else known.last_refused_source end;
end $$;
comment on function record_secret_uses is
    'Adds to secret_use what a node has counted, one place in the lists for each secret. Secrets that are not there any more are left out.';

create function record_secret_sources(
    secrets uuid[], sources text[], firsts timestamptz[], lasts timestamptz[], counts bigint[])
    returns void language plpgsql strict security definer as $$
begin
    insert into secret_source as known (secret, source, first_used_at, last_used_at, uses)
    select news.secret, news.source, news.first, news.last, news.uses
    from unnest(secrets, sources, firsts, lasts, counts)
        as news (secret, source, first, last, uses)
    where exists (select from client_secret where client_secret.id = news.secret)
    order by news.secret, news.source
    on conflict on constraint secret_source_pk do update
    set first_used_at = least(known.first_used_at, excluded.first_used_at),
        last_used_at = greatest(known.last_used_at, excluded.last_used_at),
        uses = least(known.uses, 9223372036854775807 - excluded.uses) + excluded.uses;
    delete from secret_source
    using (select ranked.secret, ranked.source,
                  row_number() over (partition by ranked.secret
                                     order by last_used_at desc, ranked.source) as place
           from secret_source as ranked where ranked.secret = any (secrets)) as older
    where older.place > 8 and older.secret = secret_source.secret
      and older.source = secret_source.source;
end $$;
comment on function record_secret_sources is
    'Adds to secret_source what a node has counted, and keeps the eight newest sources of each secret. The same statement calls record_secret_uses first for these secrets, whose rows keep other nodes from these.';

create function mark_evidence(
    recorder_id uuid, flushed timestamptz, due_ms integer, lost_since timestamptz)
    returns void language plpgsql security definer as $$
declare
    now timestamptz := clock_timestamp();
    -- A clock that is ahead does not vouch for a time that is still to come.
    known timestamptz := least(flushed, now);
begin
    insert into evidence as own (recorder, since, flushed_at, due_at)
        values (recorder_of(recorder_id), known, known,
                now + make_interval(secs => due_ms / 1000.0))
        on conflict on constraint evidence_pk do update
        set flushed_at = greatest(own.flushed_at, excluded.flushed_at), due_at = excluded.due_at;
    insert into evidence_gap (since, until) select lost_since, now where lost_since is not null
        on conflict on constraint evidence_gap_pk do nothing;
    with gone as (
        delete from evidence where recorder in (
            select recorder from evidence
            where due_at < now
              and not exists (select from node where node.recorder = evidence.recorder)
            for update skip locked)
        returning flushed_at)
    insert into evidence_gap (since, until) select flushed_at, now from gone
        on conflict on constraint evidence_gap_pk do nothing;
end $$;
comment on function mark_evidence is
    'Says that a node has written everything that it counted until a moment, and wants to write again within so many milliseconds; and since when it could not count everything, if that happened. Turns the rows of nodes that are gone into gaps.';

create function end_evidence(recorder_id uuid) returns void
    language plpgsql strict security definer as $$
begin
    delete from evidence where recorder = recorder_of(recorder_id);
end $$;
comment on function end_evidence is
    'Removes a node that has written everything that it counted, and counts no more.';

create function forget_secret_uses() returns bigint
    language plpgsql security definer as $$
declare
    forgotten bigint;
begin
    -- Rows that a node is writing are left to the next call, so that nobody waits.
    delete from secret_source where (secret, source) in (
        select secret, source from secret_source
        where not exists (select from client_secret where client_secret.id = secret)
        limit 10000 for update skip locked);
    delete from secret_use where secret in (
        select secret from secret_use
        where not exists (select from client_secret where client_secret.id = secret)
        limit 10000 for update skip locked);
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;
comment on function forget_secret_uses is
    'Removes the uses of secrets that were deleted, at most ten thousand at once. Returns how many secrets that were.';

-- 5. Rights. Nodes, operators and readers go on before the script of the roles is run again. It alone
-- grants what is new; here those who may do the like already are given it.

select guard_functions(
    '^(begin_evidence|end_evidence|forget_secret_uses|join_feed|mark_evidence|note_mute_node|'
    || 'record_secret_sources|record_secret_uses|recorder_of)$');
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
            'grant execute on function begin_evidence(integer), join_feed(integer, integer, uuid),
                 record_secret_uses(uuid[], timestamptz[], timestamptz[], text[], bigint[],
                                    bigint[], timestamptz[], text[]),
                 record_secret_sources(uuid[], text[], timestamptz[], timestamptz[], bigint[]),
                 mark_evidence(uuid, timestamptz, integer, timestamptz), end_evidence(uuid),
                 forget_secret_uses() to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name, privilege_type as kind
        from pg_attribute cross join lateral aclexplode(attacl)
        where attrelid = 'client_secret'::regclass and attname = 'retired_at' and grantee <> 0
    loop
        execute format(
            'grant %s (retire_at, kept_expires_at) on client_secret to %s', may.kind, may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_class cross join lateral aclexplode(relacl)
        where pg_class.oid = 'audit'::regclass and grantee <> 0 and grantee <> relowner
          and privilege_type = 'SELECT'
    loop
        execute format(
            'grant select on secret_use, secret_source, evidence, evidence_gap to %s', may.name);
        execute format('grant select (recorder) on node to %s', may.name);
    end loop;
end $$;
