import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

ca = grpc.ssl_channel_credentials(open("/etc/jeton/ca.pem", "rb").read())
channel = grpc.secure_channel("tokens.example.com:50051", ca, compression=grpc.Compression.Gzip)
service = DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindServiceByName("jeton.v1.TokenService")


def call(name, **fields):
    method = service.methods_by_name[name]
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    rpc = channel.unary_unary(f"/{service.full_name}/{name}", request.SerializeToString, response.FromString)
    client = {"client_id": "orders", "client_secret": "jts_ORDERS"}
    return rpc(request(client_authentication=client, **fields), timeout=5)


token = call("IssueToken", client_credentials={}).access_token
print(call("IntrospectToken", token=token))
call("RevokeToken", token=token)
print(call("IntrospectToken", token=token))
