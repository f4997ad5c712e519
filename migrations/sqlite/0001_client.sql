-- Who may ask for tokens, and what this installation knows about itself. The columns mean what
-- they mean on Postgres. Moments are microseconds since 1970 UTC; ids are blobs of 16 bytes;
-- lists are texts with one space between their members.

-- What was made once, at the first migration. Exactly one row.
create table installation (
    -- Always 1: keeps the table at one row.
    singleton   integer not null default 1,
    -- Key of the tag in the text of secrets and tokens.
    tag_key     blob    not null,
    -- Tokens of every client issued before this moment are inactive.
    not_before  integer,
    -- When this installation was made.
    created_at  integer not null,
    constraint installation_pk primary key (singleton),
    constraint installation_is_one_row check (singleton = 1),
    constraint installation_tag_key_is_256_bits check (length(tag_key) = 32)
) strict;

-- Confidential clients: machines with credentials.
create table client (
    -- Immutable. A client_id that is given again gets a new id, so old tokens stay dead.
    id                     blob    not null,
    -- The public name by which the client authenticates.
    client_id              text    not null,
    -- What people call it.
    name                   text    not null default '',
    -- active or disabled.
    state                  text    not null default 'active',
    -- The grants that it may use.
    grant_types            text    not null default 'client_credentials',
    -- The scopes that its tokens may carry.
    scopes                 text    not null default '',
    -- The scopes of a token for which none are asked; part of scopes.
    default_scopes         text    not null default '',
    -- The audiences that its tokens may be for.
    audiences              text    not null default '',
    -- The audiences that it is the resource server of.
    serves                 text    not null default '',
    -- How long its tokens live, in seconds.
    token_lifetime_seconds integer not null default 3600,
    -- Tokens issued to it before this moment are inactive.
    not_before             integer,
    -- When it was registered.
    created_at             integer not null,
    -- Grows by one with every change made through Jeton.
    version                integer not null default 1,
    constraint client_pk primary key (id),
    constraint client_client_id_is_unique unique (client_id),
    constraint client_id_is_a_uuid check (length(id) = 16),
    constraint client_client_id_is_unreserved
        check (length(client_id) between 1 and 128 and client_id not glob '*[^A-Za-z0-9._~-]*'),
    constraint client_name_is_short check (length(name) <= 256),
    constraint client_state_is_known check (state in ('active', 'disabled')),
    constraint client_grant_types_are_known check (grant_types in ('', 'client_credentials')),
    constraint client_token_lifetime_is_at_most_a_day
        check (token_lifetime_seconds between 1 and 86400)
) strict;

-- Credentials. A client may have several live ones.
create table client_secret (
    -- Stands in the text of the secret, so that exactly one hash is computed for it.
    id          blob    not null,
    -- The client that it belongs to.
    client      blob    not null,
    -- argon2id of the whole text, in PHC string form. The text itself is nowhere.
    hash        text    not null,
    -- What people call it.
    label       text    not null default '',
    -- When it was made.
    created_at  integer not null,
    -- From when it is refused; null for never.
    expires_at  integer,
    -- When it was taken out of use; null while it is in use.
    retired_at  integer,
    -- When it was declared leaked: tokens issued with it are inactive.
    burnt_at    integer,
    constraint client_secret_pk primary key (id),
    constraint client_secret_belongs_to_a_client
        foreign key (client) references client (id) on delete cascade,
    constraint client_secret_id_is_a_uuid check (length(id) = 16),
    constraint client_secret_hash_is_argon2id
        check (hash like '$argon2id$%' and length(hash) <= 256),
    constraint client_secret_label_is_short check (length(label) <= 128)
) strict;
create index client_secret_by_client on client_secret (client);
