-- Who changed what: one row for each thing that was changed, in the transaction of the change. The
-- columns mean what they mean on Postgres. SQLite has no SHA-256, so triggers write rows without
-- hash and actor, and Jeton seals them: its own in their transaction, those of others at its next.

-- The audit trail: changes of clients, secrets and the installation, and revocations.
create table audit (
    -- The place in the trail: without gaps, in the order of commits.
    seq        integer not null,
    -- When it was written.
    at         integer not null default (
        cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000),
    -- Who, as Jeton says. Null for a row that was edited beside Jeton.
    actor      text,
    -- Null: there are no logins here.
    login      text,
    -- The thing and what was done.
    action     text    not null,
    -- client.id of the client that it concerns.
    client     blob,
    -- client.client_id at that time.
    client_id  text,
    -- client_secret.id or access_token.id, where it is about one of these.
    subject    blob,
    -- JSON: the columns of what was made or deleted; for an update, each that changed with its
    -- value before and after. No hashes and no keys.
    detail     text    not null,
    -- SHA-256 over the hash of the row before and all other columns; empty until it is sealed.
    hash       blob    not null default x'',
    constraint audit_pk primary key (seq),
    constraint audit_hash_is_sha256 check (length(hash) in (0, 32))
) strict;
create index audit_by_client_id on audit (client_id, seq);
create index audit_unsealed on audit (seq) where hash = x'';

create trigger audit_is_append_only before update on audit when old.hash <> x'' begin
    select raise(abort, 'rows of the audit trail are never changed');
end;

create trigger client_creation_is_audited after insert on client begin
    insert into audit (action, client, client_id, detail)
    values ('client.create', new.id, new.client_id,
            json_object('name', new.name, 'state', new.state, 'grant_types', new.grant_types,
                        'scopes', new.scopes, 'default_scopes', new.default_scopes,
                        'audiences', new.audiences, 'serves', new.serves,
                        'token_lifetime_seconds', new.token_lifetime_seconds,
                        'not_before', new.not_before, 'created_at', new.created_at,
                        'version', new.version));
end;
create trigger client_update_is_audited after update on client begin
    insert into audit (action, client, client_id, detail)
    select 'client.update', new.id, new.client_id, changed
    from (select json_group_object(name, json_array(before, after)) as changed
          from (select 'id' as name, hex(old.id) as before, hex(new.id) as after
                union all select 'client_id', old.client_id, new.client_id
                union all select 'name', old.name, new.name
                union all select 'state', old.state, new.state
                union all select 'grant_types', old.grant_types, new.grant_types
                union all select 'scopes', old.scopes, new.scopes
                union all select 'default_scopes', old.default_scopes, new.default_scopes
                union all select 'audiences', old.audiences, new.audiences
                union all select 'serves', old.serves, new.serves
                union all select 'token_lifetime_seconds', old.token_lifetime_seconds,
                                 new.token_lifetime_seconds
                union all select 'not_before', old.not_before, new.not_before
                union all select 'created_at', old.created_at, new.created_at
                union all select 'version', old.version, new.version)
          where before is not after)
    where changed <> '{}';
end;
create trigger client_removal_is_audited after delete on client begin
    insert into audit (action, client, client_id, detail)
    values ('client.delete', old.id, old.client_id,
            json_object('name', old.name, 'state', old.state, 'grant_types', old.grant_types,
                        'scopes', old.scopes, 'default_scopes', old.default_scopes,
                        'audiences', old.audiences, 'serves', old.serves,
                        'token_lifetime_seconds', old.token_lifetime_seconds,
                        'not_before', old.not_before, 'created_at', old.created_at,
                        'version', old.version));
end;
create trigger client_secret_creation_is_audited after insert on client_secret begin
    insert into audit (action, client, client_id, subject, detail)
    values ('secret.create', new.client,
            (select client_id from client where id = new.client), new.id,
            json_object('label', new.label, 'created_at', new.created_at,
                        'expires_at', new.expires_at, 'retired_at', new.retired_at,
                        'burnt_at', new.burnt_at));
end;
create trigger client_secret_update_is_audited after update on client_secret begin
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.update', new.client, (select client_id from client where id = new.client),
           new.id, changed
    from (select json_group_object(
                     name, iif(name = 'hash', 'changed', json_array(before, after))) as changed
          from (select 'id' as name, hex(old.id) as before, hex(new.id) as after
                union all select 'client', hex(old.client), hex(new.client)
                union all select 'hash', old.hash, new.hash
                union all select 'label', old.label, new.label
                union all select 'created_at', old.created_at, new.created_at
                union all select 'expires_at', old.expires_at, new.expires_at
                union all select 'retired_at', old.retired_at, new.retired_at
                union all select 'burnt_at', old.burnt_at, new.burnt_at)
          where before is not after)
    where changed <> '{}';
end;
-- The secrets of a client that is deleted go with it.
create trigger client_secret_removal_is_audited after delete on client_secret
    when exists (select 1 from client where id = old.client) begin
    insert into audit (action, client, client_id, subject, detail)
    values ('secret.delete', old.client, (select client_id from client where id = old.client),
            old.id,
            json_object('label', old.label, 'created_at', old.created_at,
                        'expires_at', old.expires_at, 'retired_at', old.retired_at,
                        'burnt_at', old.burnt_at));
end;
create trigger installation_update_is_audited after update on installation begin
    insert into audit (action, detail)
    select 'installation.update', changed
    from (select json_group_object(
                     name, iif(name = 'tag_key', 'changed', json_array(before, after))) as changed
          from (select 'tag_key' as name, old.tag_key as before, new.tag_key as after
                union all select 'not_before', old.not_before, new.not_before
                union all select 'created_at', old.created_at, new.created_at)
          where before is not after)
    where changed <> '{}';
end;
create trigger installation_removal_is_audited after delete on installation begin
    insert into audit (action, detail)
    values ('installation.delete',
            json_object('not_before', old.not_before, 'created_at', old.created_at));
end;
create trigger revocation_is_audited after insert on revoked_token begin
    insert into audit (action, client, client_id, subject, detail)
    select 'token.revoke', client.id, client.client_id, new.id,
           json_object('revoked_at', new.revoked_at, 'keep_until', new.keep_until)
    from (select 1)
         left join access_token on access_token.id = new.id
         left join client on client.id = access_token.client;
end;
create trigger revocation_update_is_audited after update on revoked_token begin
    insert into audit (action, client, subject, detail)
    values ('token.revoke', (select client from access_token where id = new.id), new.id,
            json_object('revoked_at', json_array(old.revoked_at, new.revoked_at),
                        'keep_until', json_array(old.keep_until, new.keep_until)));
end;
-- Those of dead tokens, and dead tokens, go by themselves, and are nobody's doing.
create trigger revocation_removal_is_audited after delete on revoked_token
    when old.keep_until > strftime('%s', 'now') * 1000000 begin
    insert into audit (action, client, subject, detail)
    values ('token.unrevoke', (select client from access_token where id = old.id), old.id,
            json_object('revoked_at', old.revoked_at, 'keep_until', old.keep_until));
end;
create trigger access_token_update_is_audited after update on access_token begin
    insert into audit (action, client, subject, detail)
    values ('token.update', new.client, new.id,
            json_object('scopes', json_array(old.scopes, new.scopes),
                        'audiences', json_array(old.audiences, new.audiences),
                        'issued_at', json_array(old.issued_at, new.issued_at),
                        'expires_at', json_array(old.expires_at, new.expires_at)));
end;
create trigger access_token_removal_is_audited after delete on access_token
    when old.expires_at > strftime('%s', 'now') * 1000000 begin
    insert into audit (action, client, subject, detail)
    values ('token.delete', old.client, old.id,
            json_object('scopes', old.scopes, 'audiences', old.audiences,
                        'issued_at', old.issued_at, 'expires_at', old.expires_at));
end;
