-- A lease that is counted, by which a session proves that it is on the primary; and generations, by
-- which all tokens of a client, or all tokens, are revoked without asking a clock.

alter table node add column renewals bigint not null default 0;
alter table node add column lease_ms integer not null default 4000;
comment on column node.lease_until is
    'Moves with each renewal. Until when the lease runs by the clock of this database, for people: no node relies on it, because clocks can be set.';
comment on column node.renewals is
    'How many times the lease was renewed. A statement that answers a request names the last number that this node knows to be committed, and fails on a server that has a smaller one.';
comment on column node.lease_ms is
    'How long the lease lasts, in milliseconds. A lease is over when it was not renewed for so long, by the clock of whoever waits for it.';

alter table client add column generation bigint not null default 0;
alter table installation add column generation bigint not null default 0;
alter table access_token add column generation bigint;
alter table client add constraint client_generation_counts_up check (generation >= 0);
alter table installation add constraint installation_generation_counts_up check (generation >= 0);
comment on column client.generation is
    'Counts how often all tokens of the client were revoked. Add 1 to revoke all that it has now; unlike not_before, this asks no clock.';
comment on column installation.generation is
    'Counts how often all tokens were revoked. Add 1 to revoke every token that there is now.';
comment on column access_token.generation is
    'The generations of its client and of the installation at its issue, added up. A token of an earlier generation is inactive. Null for a token that an earlier version of Jeton issued.';

create function require_lease(node uuid, renewals bigint) returns boolean
    language plpgsql volatile set search_path from current as $$
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
comment on function require_lease is
    'Fails unless this session is on a primary and finds the lease of a node there, renewed at least so many times. Without a node only the former is asked.';

create function expire_lease(node uuid, renewals bigint, lease_until timestamptz) returns boolean
    language plpgsql security definer set search_path from current as $$
begin
    delete from node as held
    where held.id = expire_lease.node and held.renewals = expire_lease.renewals
      and held.lease_until = expire_lease.lease_until and held.lease_until < clock_timestamp();
    return found;
end $$;
comment on function expire_lease is
    'Removes a lease that was not renewed since it was seen with this number and this end. Whoever calls it has waited for as long as the lease lasts.';

-- Generations never go down: the tokens that a larger one has ended would live again.
create function refuse_smaller_generation() returns trigger
    language plpgsql set search_path from current as $$
begin
    raise exception 'a generation never becomes smaller: the tokens that it has ended would live again';
end $$;
create trigger client_generation_never_goes_down before update on client
    for each row when (new.generation < old.generation)
    execute function refuse_smaller_generation();
create trigger installation_generation_never_goes_down before update on installation
    for each row when (new.generation < old.generation)
    execute function refuse_smaller_generation();

create function forget_changes() returns bigint
    language plpgsql security definer set search_path from current as $$
declare
    forgotten bigint;
begin
    delete from change
    where id < least((select max(id) from change), (select min(applied) from node));
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;
