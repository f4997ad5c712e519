-- What operators note of a client: labels, its owner and a note. No decision depends on them. The
-- texts have no character that a terminal obeys, that changes the direction of the text around it,
-- or that cannot be seen.

-- Labels by which operators group and find clients, each as key=value, such as team=payments; each
-- key once.
alter table client add column labels text not null default ''
    constraint client_labels_are_short_and_printable
        check (length(labels) <= 6175 and labels not glob '*[^ -~]*');
-- Who is responsible for it: a person, a team or an address.
alter table client add column owner text not null default ''
    constraint client_owner_is_short_and_printable
        check (length(cast(owner as blob)) <= 128
               and owner not glob '*[' || char(1) || '-' || char(0x1f)
                   || char(0x7f) || '-' || char(0x9f) || char(0xad) || char(0x61c)
                   || char(0x200b) || char(0x200e) || char(0x200f)
                   || char(0x2028) || '-' || char(0x202e) || char(0x2060) || '-' || char(0x206f)
                   || char(0xfeff) || char(0xfff9) || '-' || char(0xfffb)
                   || char(0xe0000) || '-' || char(0xe007f) || ']*');
-- Anything else that operators should know about it.
alter table client add column note text not null default ''
    constraint client_note_is_short_and_printable
        check (length(cast(note as blob)) <= 1024
               and note not glob '*[' || char(1) || '-' || char(0x1f)
                   || char(0x7f) || '-' || char(0x9f) || char(0xad) || char(0x61c)
                   || char(0x200b) || char(0x200e) || char(0x200f)
                   || char(0x2028) || '-' || char(0x202e) || char(0x2060) || '-' || char(0x206f)
                   || char(0xfeff) || char(0xfff9) || '-' || char(0xfffb)
                   || char(0xe0000) || '-' || char(0xe007f) || ']*');

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
                        'not_before', old.not_before, 'created_at', old.created_at,
                        'version', old.version, 'generation', old.generation));
end;
