-- Limits on issuing tokens to a client. The short row of the audit trail for a client that revokes
-- its own token is written by Jeton, when it seals the row.

-- Tokens per second that may be issued to it for as long as it likes; null for the default of the
-- node.
alter table client add column tokens_per_second integer
    constraint client_tokens_per_second_is_a_limit
        check (tokens_per_second between 1 and 1000000000);
-- Tokens that may be issued to it at once after a pause; null for the default of the node.
alter table client add column token_burst integer
    constraint client_token_burst_is_a_limit check (token_burst between 1 and 1000000000);
-- Tokens of it that may live at the same time; null for the default of the node.
alter table client add column live_tokens integer
    constraint client_live_tokens_is_a_limit check (live_tokens between 1 and 1000000000);

-- As before, with the columns of this migration.
drop view audited_client;
create view audited_client as
select rowid as place, id, client_id,
       json_object('id', hex(id), 'client_id', client_id, 'name', name, 'state', state,
                   'grant_types', grant_types, 'scopes', scopes, 'default_scopes', default_scopes,
                   'audiences', audiences, 'serves', serves,
                   'token_lifetime_seconds', token_lifetime_seconds,
                   'tokens_per_second', tokens_per_second, 'token_burst', token_burst,
                   'live_tokens', live_tokens, 'not_before', not_before,
                   'created_at', created_at, 'version', version) as shown
from client;
drop trigger client_removal_is_audited;
create trigger client_removal_is_audited after delete on client begin
    insert into audit (action, client, client_id, detail)
    values ('client.delete', old.id, old.client_id,
            json_object('name', old.name, 'state', old.state, 'grant_types', old.grant_types,
                        'scopes', old.scopes, 'default_scopes', old.default_scopes,
                        'audiences', old.audiences, 'serves', old.serves,
                        'token_lifetime_seconds', old.token_lifetime_seconds,
                        'tokens_per_second', old.tokens_per_second,
                        'token_burst', old.token_burst, 'live_tokens', old.live_tokens,
                        'not_before', old.not_before, 'created_at', old.created_at,
                        'version', old.version));
end;
