-- Who may ask for tokens, and what this installation knows about itself.

create table installation (
    singleton   boolean     not null default true,
    tag_key     bytea       not null,
    not_before  timestamptz,
    created_at  timestamptz not null,
    constraint installation_pk primary key (singleton),
    constraint installation_is_one_row check (singleton),
    constraint installation_tag_key_is_256_bits check (octet_length(tag_key) = 32)
);
comment on table installation is
    'What was made once, at the first migration. Exactly one row.';
comment on column installation.singleton is
    'Always true: keeps the table at one row.';
comment on column installation.tag_key is
    'Key of the tag in the text of secrets and tokens. It turns guesses away cheaply and authenticates nothing by itself, so it is of low worth to a thief.';
comment on column installation.not_before is
    'Tokens of every client issued before this moment are inactive. Set it after a restore from backup.';
comment on column installation.created_at is
    'When this installation was made.';

create table client (
    id                     uuid        not null,
    client_id              text        not null,
    name                   text        not null default '',
    state                  text        not null default 'active',
    grant_types            text[]      not null default '{client_credentials}',
    scopes                 text[]      not null default '{}',
    default_scopes         text[]      not null default '{}',
    audiences              text[]      not null default '{}',
    serves                 text[]      not null default '{}',
    token_lifetime_seconds integer     not null default 3600,
    not_before             timestamptz,
    created_at             timestamptz not null default now(),
    version                bigint      not null default 1,
    constraint client_pk primary key (id),
    constraint client_client_id_is_unique unique (client_id),
    constraint client_client_id_is_unreserved check (client_id ~ '^[A-Za-z0-9._~-]{1,128}$'),
    constraint client_name_is_short check (octet_length(name) <= 256),
    constraint client_state_is_known check (state in ('active', 'disabled')),
    constraint client_grant_types_are_known check (grant_types <@ '{client_credentials}'::text[]),
    constraint client_scopes_are_few check (cardinality(scopes) <= 64),
    constraint client_default_scopes_are_registered check (default_scopes <@ scopes),
    constraint client_audiences_are_few check (cardinality(audiences) <= 16),
    constraint client_serves_few check (cardinality(serves) <= 16),
    constraint client_token_lifetime_is_at_most_a_day
        check (token_lifetime_seconds between 1 and 86400)
);
comment on table client is
    'Confidential clients: machines with credentials. Operators may edit rows by hand.';
comment on column client.id is
    'Immutable. A client_id that is given again gets a new id, so old tokens stay dead.';
comment on column client.client_id is
    'The public name by which the client authenticates. Unreserved characters only, so that form encoding changes nothing.';
comment on column client.name is
    'What people call it. Shown in lists, used for nothing else.';
comment on column client.state is
    'active, or disabled: it may not authenticate and its tokens read as inactive while this lasts.';
comment on column client.grant_types is
    'The grants that it may use. Empty for a resource server that only introspects.';
comment on column client.scopes is
    'The scopes that its tokens may carry.';
comment on column client.default_scopes is
    'The scopes of a token for which none are asked; part of scopes.';
comment on column client.audiences is
    'The audiences that its tokens may be for. A token for which none is asked is for all of them.';
comment on column client.serves is
    'The audiences that it is the resource server of: it may introspect their tokens.';
comment on column client.token_lifetime_seconds is
    'How long its tokens live, in seconds.';
comment on column client.not_before is
    'Tokens issued to it before this moment are inactive: set it to now() to revoke them all.';
comment on column client.created_at is
    'When it was registered.';
comment on column client.version is
    'Grows by one with every change made through Jeton.';

create table client_secret (
    id          uuid        not null,
    client      uuid        not null,
    hash        text        not null,
    label       text        not null default '',
    created_at  timestamptz not null default now(),
    expires_at  timestamptz,
    retired_at  timestamptz,
    burnt_at    timestamptz,
    constraint client_secret_pk primary key (id),
    constraint client_secret_belongs_to_a_client
        foreign key (client) references client (id) on delete cascade,
    constraint client_secret_hash_is_argon2id
        check (hash like '$argon2id$%' and octet_length(hash) <= 256),
    constraint client_secret_label_is_short check (octet_length(label) <= 128)
);
create index client_secret_by_client on client_secret (client);
comment on table client_secret is
    'Credentials. A client may have several live ones, so that they can be changed without a gap.';
comment on column client_secret.id is
    'Stands in the text of the secret, so that exactly one hash is computed for it.';
comment on column client_secret.client is
    'The client that it belongs to.';
comment on column client_secret.hash is
    'argon2id of the whole text, in PHC string form. The text itself is nowhere.';
comment on column client_secret.label is
    'What people call it.';
comment on column client_secret.created_at is
    'When it was made.';
comment on column client_secret.expires_at is
    'From when it is refused; null for never.';
comment on column client_secret.retired_at is
    'When it was taken out of use; null while it is in use. Tokens issued with it live on.';
comment on column client_secret.burnt_at is
    'When it was declared leaked; null if it was not. Tokens issued with it are inactive.';
