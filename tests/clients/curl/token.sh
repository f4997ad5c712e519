token=$(curl -sS --cacert /etc/jeton/ca.pem -u orders:jts_ORDERS \
    -d 'grant_type=client_credentials&scope=orders.read' https://tokens.example.com:8080/oauth2/token |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl -sS --cacert /etc/jeton/ca.pem -u orders:jts_ORDERS \
    -d "token=$token" https://tokens.example.com:8080/oauth2/introspect
curl -sS --cacert /etc/jeton/ca.pem -u orders:jts_ORDERS \
    -d "token=$token" https://tokens.example.com:8080/oauth2/revoke
curl -sS --cacert /etc/jeton/ca.pem -u orders:jts_ORDERS \
    -d "token=$token" https://tokens.example.com:8080/oauth2/introspect
