-- What administrators may give to clients. Nodes read it only when an administrator changes something;
-- a node of an earlier version does not, so limits hold once all nodes with a control listener know
-- them.

alter table client
    add column grantable_scopes    text[] not null default '{}',
    add column grantable_audiences text[] not null default '{}',
    add constraint client_grantable_is_of_administrators check (
        cardinality(grantable_scopes) + cardinality(grantable_audiences) = 0
        or array_to_string(scopes, ' ') ~ '(^| )jeton:'),
    add constraint client_grantable_scopes_are_few check (cardinality(grantable_scopes) <= 64),
    add constraint client_grantable_audiences_are_few
        check (cardinality(grantable_audiences) <= 16),
    add constraint client_grantable_scopes_are_patterns check (
        cardinality(grantable_scopes) = 0
        or array_position(grantable_scopes, null) is null
            and position(chr(10) in array_to_string(grantable_scopes, '')) = 0
            and (array_to_string(grantable_scopes, chr(10)) || chr(10))
                ~ '^([!#-)+-\[\]-~]+(\.\*)?\n)+$'),
    add constraint client_grantable_audiences_are_patterns check (
        cardinality(grantable_audiences) = 0
        or array_position(grantable_audiences, null) is null
            and position(chr(10) in array_to_string(grantable_audiences, '')) = 0
            and position('//*' in array_to_string(grantable_audiences, chr(10))) = 0
            and (array_to_string(grantable_audiences, chr(10)) || chr(10))
                ~ '^([!$-)+-\[\]-~]+(/\*)?\n)+$');
comment on column client.grantable_scopes is
    'Scopes that this administrator may give to clients, by name or with the same beginning, such as orders.*; if empty, all but those that begin with jeton:.';
comment on column client.grantable_audiences is
    'Audiences that this administrator may give to clients, by name or with the same beginning, such as https://api.example.com/*; if empty, all.';

-- Operators and readers go on before the script of the roles is run again: who may read or change the
-- scopes of a client may read or change these lists.
do $$
declare
    may record;
begin
    for may in
        select distinct grantee::regrole as name, lower(privilege_type) as what
        from pg_attribute cross join lateral aclexplode(attacl)
        where attrelid = 'client'::regclass and attname = 'scopes' and grantee <> 0
          and privilege_type in ('SELECT', 'UPDATE')
    loop
        execute format('grant %s (grantable_scopes, grantable_audiences) on client to %s',
                       may.what, may.name);
    end loop;
end $$;
