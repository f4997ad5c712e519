-- How a running node learns what has changed, so that what it remembers is as true as a look here.

-- The change feed. Triggers write it, also for rows that are edited beside the node.
create table change (
    -- The place in the feed. Never given out twice, and in the order of commits: there is one
    -- writer at a time.
    id          integer constraint change_pk primary key autoincrement,
    -- client: its row or one of its secrets. token: its revocation, or its row. everything.
    kind        text    not null,
    -- client.id or access_token.id; null for everything.
    subject     blob,
    -- When it was written here.
    changed_at  integer not null default (strftime('%s', 'now') * 1000000),
    constraint change_kind_is_known check (kind in ('client', 'token', 'everything')),
    constraint change_names_its_subject check ((subject is null) = (kind = 'everything'))
) strict;

-- New clients and new secrets are not announced: nobody remembers that there is none.
create trigger client_update_is_announced after update on client begin
    insert into change (kind, subject) values ('client', old.id);
end;
create trigger client_removal_is_announced after delete on client begin
    insert into change (kind, subject) values ('client', old.id);
end;
create trigger client_secret_update_is_announced after update on client_secret begin
    insert into change (kind, subject) values ('client', old.client), ('client', new.client);
end;
create trigger client_secret_removal_is_announced after delete on client_secret begin
    insert into change (kind, subject) values ('client', old.client);
end;
create trigger installation_update_is_announced after update on installation begin
    insert into change (kind) values ('everything');
end;
create trigger revocation_is_announced after insert on revoked_token begin
    insert into change (kind, subject) values ('token', new.id);
end;
-- A revocation that is taken back by hand, and not one that is removed because its token is dead.
create trigger revocation_removal_is_announced after delete on revoked_token
    when old.keep_until > strftime('%s', 'now') * 1000000 begin
    insert into change (kind, subject) values ('token', old.id);
end;
-- Jeton never does this to a living token; somebody may, by hand.
create trigger access_token_update_is_announced after update on access_token begin
    insert into change (kind, subject) values ('token', old.id);
end;
create trigger access_token_removal_is_announced after delete on access_token
    when old.expires_at > strftime('%s', 'now') * 1000000 begin
    insert into change (kind, subject) values ('token', old.id);
end;
