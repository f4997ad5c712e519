-- What was issued, and what was taken back.

create table access_token (
    id          uuid        not null,
    digest      bytea       not null,
    client      uuid        not null,
    secret      uuid        not null,
    scopes      text[]      not null,
    audiences   text[]      not null,
    issued_at   timestamptz not null,
    expires_at  timestamptz not null,
    constraint access_token_pk primary key (id),
    constraint access_token_digest_is_sha256 check (octet_length(digest) = 32),
    constraint access_token_lives_at_most_a_day
        check (expires_at > issued_at and expires_at <= issued_at + interval '86401 seconds')
) partition by range (id);
comment on table access_token is
    'Issued tokens: inserted, never updated, never deleted. Partitions, by the time that is in the id, are dropped whole once their newest token is dead. No foreign keys: a deleted client must not cost a scan here.';
comment on column access_token.id is
    'uuid of version 7, the jti. It stands in the text of the token and names the one partition to look in.';
comment on column access_token.digest is
    'SHA-256 of the whole text. The text itself is nowhere.';
comment on column access_token.client is
    'client.id of the client that it was issued to.';
comment on column access_token.secret is
    'client_secret.id of the secret that it was issued with, so that a leak can be answered precisely.';
comment on column access_token.scopes is
    'The scopes that it carries.';
comment on column access_token.audiences is
    'The resource servers that it is for.';
comment on column access_token.issued_at is
    'When it was issued.';
comment on column access_token.expires_at is
    'From when it is dead: at most a day after issue, rounded up to a whole second.';

create table revoked_token (
    id          uuid        not null,
    revoked_at  timestamptz not null,
    keep_until  timestamptz not null,
    constraint revoked_token_pk primary key (id)
);
comment on table revoked_token is
    'Tokens that ended before their time. Apart from access_token, so that no token row is ever updated.';
comment on column revoked_token.id is
    'access_token.id.';
comment on column revoked_token.revoked_at is
    'When it was revoked.';
comment on column revoked_token.keep_until is
    'When the token would have been dead anyway, and this row can go.';
