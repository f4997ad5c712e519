-- What was issued, and what was taken back.

-- Issued tokens. Stored in the order of their ids, which is the order of issue, so that the dead
-- are one contiguous range at the start and are removed in small slices.
create table access_token (
    -- uuid of version 7, the jti. It stands in the text of the token.
    id          blob    not null,
    -- SHA-256 of the whole text. The text itself is nowhere.
    digest      blob    not null,
    -- client.id of the client that it was issued to.
    client      blob    not null,
    -- client_secret.id of the secret that it was issued with.
    secret      blob    not null,
    -- The scopes that it carries.
    scopes      text    not null,
    -- The resource servers that it is for.
    audiences   text    not null,
    -- When it was issued.
    issued_at   integer not null,
    -- From when it is dead: at most a day after issue, rounded up to a whole second.
    expires_at  integer not null,
    constraint access_token_pk primary key (id),
    constraint access_token_id_is_a_uuid check (length(id) = 16),
    constraint access_token_digest_is_sha256 check (length(digest) = 32),
    constraint access_token_lives_at_most_a_day
        check (expires_at > issued_at and expires_at <= issued_at + 86401000000)
) strict, without rowid;

-- Tokens that ended before their time.
create table revoked_token (
    -- access_token.id.
    id          blob    not null,
    -- When it was revoked.
    revoked_at  integer not null,
    -- When the token would have been dead anyway, and this row can go.
    keep_until  integer not null,
    constraint revoked_token_pk primary key (id)
) strict, without rowid;
