basic="authorization: Basic $(printf 'orders:jts_ORDERS' | base64 -w 0)"
token=$(grpcurl -cacert /etc/jeton/ca.pem -H "$basic" -d '{"client_credentials": {}}' \
    tokens.example.com:50051 jeton.v1.TokenService/IssueToken |
    sed -n 's/.*"accessToken": "\(.*\)",/\1/p')
grpcurl -cacert /etc/jeton/ca.pem -H "$basic" -d "{\"token\": \"$token\"}" \
    tokens.example.com:50051 jeton.v1.TokenService/IntrospectToken
grpcurl -cacert /etc/jeton/ca.pem -H "$basic" -d "{\"token\": \"$token\"}" \
    tokens.example.com:50051 jeton.v1.TokenService/RevokeToken
grpcurl -cacert /etc/jeton/ca.pem -H "$basic" -d "{\"token\": \"$token\"}" \
    tokens.example.com:50051 jeton.v1.TokenService/IntrospectToken
