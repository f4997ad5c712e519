-- What operators note of a client: labels, its owner and a note. No decision depends on them.

-- The texts have no character that a terminal obeys, that changes the direction of the text around
-- it, or that cannot be seen.
alter table client
    add column labels text[] not null default '{}',
    add column owner  text   not null default '',
    add column note   text   not null default '',
    add constraint client_labels_are_few check (cardinality(labels) <= 32),
    add constraint client_labels_are_keys_and_values check (
        cardinality(labels) = 0
        or array_position(labels, null) is null
            and position(chr(10) in array_to_string(labels, '')) = 0
            and (array_to_string(labels, chr(10)) || chr(10))
                ~ '^([A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[!#-\[\]-~]{0,128}\n)+$'),
    add constraint client_owner_is_short_and_printable check (
        octet_length(owner) <= 128
        and owner !~ '[\u0001-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]'),
    add constraint client_note_is_short_and_printable check (
        octet_length(note) <= 1024
        and note !~ '[\u0001-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]');
comment on column client.labels is
    'Labels by which operators group and find clients, each as key=value, such as team=payments; each key once.';
comment on column client.owner is
    'Who is responsible for it: a person, a team or an address.';
comment on column client.note is
    'Anything else that operators should know about it.';
