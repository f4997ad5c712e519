//! Who may call which method: the table is the contract itself, with every method that there is.

use std::time::Duration;

use http::uri::PathAndQuery;
use jeton::{
    domain,
    pb::{DESCRIPTORS, v1::Permission},
};
use prost_reflect::DescriptorPool;
use tonic::{Code, Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::support::{
    Kind, TestNode,
    control::{administrator, bearer, channel, options},
    node::Credentials,
};

/// The methods of the contract by their paths, with the permissions that they require.
fn methods() -> Vec<(String, Permission)> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let option = pool.get_extension_by_name("jeton.v1.requires").unwrap();
    let services = pool.services().filter(|service| service.package_name().starts_with("jeton."));
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let row = |method: prost_reflect::MethodDescriptor| {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let required = method.options().get_extension(&option).as_enum_number();
        (path, Permission::try_from(required.unwrap()).unwrap())
    };
    methods.map(row).collect()
}

/// The code with which an empty message is answered.
async fn code(channel: &Channel, path: &str, mut request: Request<()>) -> Code {
    if path.contains("/Watch") {
        // A stream waits for what there is to send.
        request.set_timeout(Duration::from_secs(1));
    }
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::try_from(path).unwrap();
    let answer = grpc.unary(request, path, ProstCodec::<(), ()>::default()).await;
    answer.err().map_or(Code::Ok, |status| status.code())
}

/// Permissions, each with the administrator that has it alone.
async fn administrators(node: &TestNode) -> Vec<(domain::Permission, Credentials)> {
    let mut all = Vec::new();
    for permission in domain::Permission::ALL {
        let scope = permission.scope();
        let client = administrator(node, &scope.replace(':', "-"), &[scope]).await;
        all.push((permission, client));
    }
    all
}

fn has(permission: domain::Permission, required: Permission) -> bool {
    use domain::Permission::{Security, Write};
    match required {
        Permission::Read => true,
        Permission::Write => permission == Write,
        Permission::Security => permission == Security,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_is_for_those_callers_alone_whom_the_contract_names() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, options()).await;
        let administrators = administrators(&node).await;
        let (orders, control) = (node.client("orders").await, channel(&node));
        let url = format!("http://{}", node.node.grpc_addr());
        let public = Channel::from_shared(url).unwrap().connect_lazy();
        let methods = methods();
        assert!(methods.len() >= 18, "{methods:?}");
        for (path, required) in methods {
            assert_ne!(required, Permission::Unspecified, "{path} names no permission");
            // Nobody is turned away there, but something is missing from an empty message.
            let of_anybody = match required {
                Permission::None => Some(Code::InvalidArgument),
                Permission::Client => Some(Code::Unauthenticated),
                _ => None,
            };
            let fresh = async |client| node.issue(client).await.unwrap().access_token;
            let token = fresh(&administrators[2].1).await;
            let of_public = code(&public, &path, bearer(&token, ())).await;
            if let Some(expected) = of_anybody {
                assert_eq!(of_public, expected, "{path}");
                let of_control = code(&control, &path, bearer(&token, ())).await;
                assert_eq!(of_control, Code::Unimplemented, "{path}");
                continue;
            }
            assert_eq!(of_public, Code::Unimplemented, "{path}");
            let nobody = code(&control, &path, Request::new(())).await;
            assert_eq!(nobody, Code::Unauthenticated, "{path} without a token");
            let other = if &token[20..21] == "A" { "B" } else { "A" };
            let bent = format!("{}{other}{}", &token[..20], &token[21..]);
            for wrong in ["", "x", &*fresh(&orders).await, &*bent] {
                let wrong = code(&control, &path, bearer(wrong, ())).await;
                assert_eq!(wrong, Code::Unauthenticated, "{path} with a wrong token");
            }
            for (permission, client) in &administrators {
                // A new token for each call, as one of the methods revokes all of them.
                let code = code(&control, &path, bearer(&fresh(client).await, ())).await;
                let is_permitted = !matches!(code, Code::PermissionDenied | Code::Unauthenticated);
                assert_eq!(
                    is_permitted,
                    has(*permission, required),
                    "{path} {permission:?} {code}"
                );
                assert!(is_permitted || code == Code::PermissionDenied, "{path} {permission:?}");
                assert_ne!(code, Code::Internal, "{path}");
            }
        }
    }
}
