-- Second thoughts: a deleted client comes back, and a request that made a secret may be repeated.
-- Tables and columns mean what they mean on Postgres.

-- Clients that were deleted through Jeton in the last 30 days. What is kept here decides nothing.
create table deleted_client (
    -- client.id of the client, which it gets again.
    id          blob    not null,
    -- client.client_id of the client. Another client may have it meanwhile.
    client_id   text    not null,
    -- When it was deleted.
    deleted_at  integer not null default (strftime('%s', 'now') * 1000000),
    -- The row of client as it was: JSON, as audited_client shows it.
    client      text    not null,
    -- The rows of client_secret as they were: JSON, as audited_secret shows them, with their hashes.
    secrets     text    not null,
    constraint deleted_client_pk primary key (id)
) strict;
create index deleted_client_by_client_id on deleted_client (client_id, deleted_at);

-- Requests of the last day that made a secret. One that comes again makes no other.
create table request (
    -- Who made the request, as the audit trail names it.
    actor       text    not null,
    -- The id that the caller gave it.
    request_id  blob    not null,
    -- SHA-256 of its content.
    digest      blob    not null,
    -- client.id of the client that it made or that got the secret.
    client      blob    not null,
    -- client_secret.id of the secret that it made.
    secret      blob    not null,
    -- When it was carried out.
    at          integer not null default (strftime('%s', 'now') * 1000000),
    constraint request_pk primary key (actor, request_id),
    constraint request_digest_is_sha256 check (length(digest) = 32)
) strict;
create index request_by_time on request (at);
