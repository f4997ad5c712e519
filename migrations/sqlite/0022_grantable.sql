-- What administrators may give to clients. Nodes read it only when an administrator changes something.

-- Scopes that this administrator may give to clients, by name or with the same beginning, such as
-- orders.*; if empty, all but those that begin with jeton:.
alter table client add column grantable_scopes text not null default ''
    constraint client_grantable_scopes_are_of_administrators
        check (grantable_scopes = '' or ' ' || scopes glob '* jeton:*')
    constraint client_grantable_scopes_are_short_and_printable
        check (length(grantable_scopes) <= 8255 and grantable_scopes not glob '*[^ -~]*');
-- Audiences that this administrator may give to clients, by name or with the same beginning, such as
-- https://api.example.com/*; if empty, all.
alter table client add column grantable_audiences text not null default ''
    constraint client_grantable_audiences_are_of_administrators
        check (grantable_audiences = '' or ' ' || scopes glob '* jeton:*')
    constraint client_grantable_audiences_are_short_and_printable
        check (length(grantable_audiences) <= 4111 and grantable_audiences not glob '*[^ -~]*');

-- The audit trail, as before and with the columns of this migration.
drop view audited_client;
create view audited_client as
select rowid as place, id, client_id,
       json_object('id', hex(id), 'client_id', client_id, 'name', name, 'state', state,
                   'grant_types', grant_types, 'scopes', scopes, 'default_scopes', default_scopes,
                   'audiences', audiences, 'default_audience', default_audience,
                   'several_audiences', several_audiences, 'serves', serves,
                   'token_lifetime_seconds', token_lifetime_seconds,
                   'tokens_per_second', tokens_per_second, 'token_burst', token_burst,
                   'live_tokens', live_tokens, 'labels', labels, 'owner', owner, 'note', note,
                   'grantable_scopes', grantable_scopes,
                   'grantable_audiences', grantable_audiences,
                   'not_before', not_before, 'created_at', created_at, 'version', version,
                   'generation', generation) as shown
from client;
drop trigger client_removal_is_audited;
create trigger client_removal_is_audited after delete on client begin
    insert into audit (action, client, client_id, detail)
    values ('client.delete', old.id, old.client_id,
            json_object('name', old.name, 'state', old.state, 'grant_types', old.grant_types,
                        'scopes', old.scopes, 'default_scopes', old.default_scopes,
                        'audiences', old.audiences, 'default_audience', old.default_audience,
                        'several_audiences', old.several_audiences, 'serves', old.serves,
                        'token_lifetime_seconds', old.token_lifetime_seconds,
                        'tokens_per_second', old.tokens_per_second,
                        'token_burst', old.token_burst, 'live_tokens', old.live_tokens,
                        'labels', old.labels, 'owner', old.owner, 'note', old.note,
                        'grantable_scopes', old.grantable_scopes,
                        'grantable_audiences', old.grantable_audiences,
                        'not_before', old.not_before, 'created_at', old.created_at,
                        'version', old.version, 'generation', old.generation));
end;
