-- One audience by default. The columns mean what they mean on Postgres.

drop view audited_client;

-- The audience of a token for which none is requested; one of audiences. Null for the only one; with
-- several, each request must name one.
alter table client add column default_audience text
    constraint client_default_audience_is_registered
        check (default_audience is null
               or (length(default_audience) > 0 and instr(default_audience, ' ') = 0
                   and instr(' ' || audiences || ' ', ' ' || default_audience || ' ') > 0));
-- Whether one token may be for several of its audiences, if the request names them: 0 or 1.
alter table client add column several_audiences integer not null default 0
    constraint client_several_audiences_is_a_boolean check (several_audiences in (0, 1));

-- As before, with the columns of this migration.
create view audited_client as
select rowid as place, id, client_id,
       json_object('id', hex(id), 'client_id', client_id, 'name', name, 'state', state,
                   'grant_types', grant_types, 'scopes', scopes, 'default_scopes', default_scopes,
                   'audiences', audiences, 'default_audience', default_audience,
                   'several_audiences', several_audiences, 'serves', serves,
                   'token_lifetime_seconds', token_lifetime_seconds,
                   'tokens_per_second', tokens_per_second, 'token_burst', token_burst,
                   'live_tokens', live_tokens, 'not_before', not_before,
                   'created_at', created_at, 'version', version, 'generation', generation) as shown
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
                        'not_before', old.not_before, 'created_at', old.created_at,
                        'version', old.version, 'generation', old.generation));
end;
