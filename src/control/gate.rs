//! The gate before the service: a message is read only for a caller who may call its method.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use tonic::{Status, body::Body, codec::CompressionEncoding::Gzip, metadata::MetadataMap};
use tower::Service;

use super::{Caller, ClientRpc, Refusal};
use crate::{
    pb::v1::client_service_server::ClientServiceServer,
    request::{LocalUser, Method, RequestContext},
};

/// Maximum message in bytes, before and after it is inflated. A client with everything at its limit
/// is smaller.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The same for a batch of 200 clients.
const MAX_BATCH_BYTES: usize = 512 * 1024;

/// The service behind its gate. The generated server inflates and decodes a message before its
/// method is called, and a small message can become a large one, so the caller is checked before.
#[derive(Clone)]
pub struct Gate {
    rpc: ClientRpc,
    server: ClientServiceServer<ClientRpc>,
}

impl Gate {
    /// Puts the service behind its gate.
    #[must_use]
    pub fn new(rpc: ClientRpc) -> Self {
        let server = ClientServiceServer::new(rpc.clone()).accept_compressed(Gzip);
        Self { rpc, server }
    }

    async fn pass(self, mut request: Request<Body>) -> Response<Body> {
        let Self { rpc, server } = self;
        let path = request.uri().path();
        let method = Method::CLIENT_SERVICE.into_iter().find(|method| method.path() == path);
        let Some(method) = method else {
            return Status::unimplemented("no such method").into_http();
        };
        let context = request.extensions().get::<RequestContext>().cloned().unwrap_or_default();
        let user = request.extensions().get::<LocalUser>().copied();
        let metadata = MetadataMap::from_headers(request.headers().clone());
        let check = async {
            rpc.caller(method, &metadata, user, &context).await.map_err(Refusal::into_status)
        };
        let is_batch = method == Method::BatchCreateClients;
        let limit = if is_batch { MAX_BATCH_BYTES } else { MAX_MESSAGE_BYTES };
        let call = move |caller: Caller| {
            request.extensions_mut().insert(caller);
            let mut server = server.max_decoding_message_size(limit);
            server.call(request).map(|Ok(response)| response)
        };
        rpc.admission.run_unread(method, &context, check, call).await
    }
}

impl Service<Request<Body>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.clone().pass(request).map(Ok).boxed()
    }
}
