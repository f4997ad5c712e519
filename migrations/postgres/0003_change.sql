-- How running nodes learn what has changed, so that what they remember is as true as a look here.

create table change (
    id          bigint      not null generated always as identity,
    kind        text        not null,
    subject     uuid,
    changed_at  timestamptz not null default clock_timestamp(),
    constraint change_pk primary key (id),
    constraint change_kind_is_known check (kind in ('client', 'token', 'everything')),
    constraint change_names_its_subject check ((subject is null) = (kind = 'everything'))
);
comment on table change is
    'The change feed. Triggers write it, also for rows that are edited by hand, and nodes read it in the order of id. Rows are removed after an hour: a node that was away for longer begins anew.';
comment on column change.id is
    'The place in the feed. Given out under a lock that is held until the commit, so that no reader passes over a smaller one that commits later.';
comment on column change.kind is
    'client: its row or one of its secrets. token: its revocation, or its row. everything: all that is remembered.';
comment on column change.subject is
    'client.id or access_token.id; null for everything.';
comment on column change.changed_at is
    'When it was written here.';

create table node (
    id           uuid        not null,
    applied      bigint      not null,
    lease_until  timestamptz not null,
    joined_at    timestamptz not null default now(),
    constraint node_pk primary key (id)
);
comment on table node is
    'Nodes that remember something. Whoever revokes, disables or retires waits until each of them has applied the change, or until its lease is over.';
comment on column node.id is
    'Made anew at each start of a node.';
comment on column node.applied is
    'change.id of the last change that the node has applied.';
comment on column node.lease_until is
    'Until when, by the clock of this database, the node may trust what it remembers.';
comment on column node.joined_at is
    'When it began to follow the feed.';

-- The lock is of the whole database and released by the commit. The triggers are deferred: they
-- run at the commit, so that a transaction that somebody left open does not hold the lock.
create function announce(kind text, subject uuid) returns void
    language plpgsql security definer set search_path from current as $$
begin
    perform pg_advisory_xact_lock(7160834520118);
    insert into change (kind, subject) values (kind, subject);
    perform pg_notify('jeton_change', '');
end $$;
comment on function announce is
    'Writes one change and wakes the nodes. Runs with the rights of its owner, so that whoever may edit a client need not be able to write the feed.';

create function announce_client() returns trigger
    language plpgsql set search_path from current as $$
begin
    perform announce('client', old.id);
    return null;
end $$;

create function announce_secret() returns trigger
    language plpgsql set search_path from current as $$
begin
    perform announce('client', old.client);
    if tg_op = 'UPDATE' and new.client <> old.client then
        perform announce('client', new.client);
    end if;
    return null;
end $$;

create function announce_revocation() returns trigger
    language plpgsql set search_path from current as $$
begin
    perform announce('token', coalesce(new.id, old.id));
    return null;
end $$;

create function announce_token() returns trigger
    language plpgsql set search_path from current as $$
begin
    perform announce('token', old.id);
    return null;
end $$;

create function announce_everything() returns trigger
    language plpgsql set search_path from current as $$
begin
    perform announce('everything', null);
    return null;
end $$;

-- New clients and new secrets are not announced: nobody remembers that there is none.
create constraint trigger client_is_announced after update or delete on client
    deferrable initially deferred for each row execute function announce_client();
create constraint trigger client_secret_is_announced after update or delete on client_secret
    deferrable initially deferred for each row execute function announce_secret();
create constraint trigger installation_is_announced after update or delete on installation
    deferrable initially deferred for each row execute function announce_everything();
create constraint trigger revoked_token_is_announced after insert or update on revoked_token
    deferrable initially deferred for each row execute function announce_revocation();
-- A revocation that is taken back by hand, and not one that is removed because its token is dead.
create constraint trigger revoked_token_removal_is_announced after delete on revoked_token
    deferrable initially deferred for each row when (old.keep_until > now())
    execute function announce_revocation();
-- Jeton never does this to a token; somebody may, by hand.
create constraint trigger access_token_is_announced after update or delete on access_token
    deferrable initially deferred for each row execute function announce_token();

create trigger client_truncation_is_announced after truncate on client
    for each statement execute function announce_everything();
create trigger client_secret_truncation_is_announced after truncate on client_secret
    for each statement execute function announce_everything();
create trigger revoked_token_truncation_is_announced after truncate on revoked_token
    for each statement execute function announce_everything();
create trigger access_token_truncation_is_announced after truncate on access_token
    for each statement execute function announce_everything();
