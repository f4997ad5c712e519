jeton() { curl -sS --cacert /etc/jeton/ca.pem -u orders:jts_ORDERS -d "$2" "https://tokens.example.com:8080/oauth2/$1"; }

token=$(jeton token 'grant_type=client_credentials&scope=orders.read' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
jeton introspect "token=$token"
jeton revoke "token=$token"
jeton introspect "token=$token"
