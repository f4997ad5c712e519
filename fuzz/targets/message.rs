//! The messages of the contract: decoding is total, what was decoded reads back the same, and no
//! `Debug` prints a secret.

use std::fmt::Debug;

use jeton::pb::v1::{
    ClientAuthentication, IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest,
    IssueTokenResponse, ReportLeakedSecretRequest, RevokeTokenRequest,
};
use prost::Message;

use super::CANARY;

pub(super) fn target(data: &[u8]) {
    check(data, |message: &mut IssueTokenRequest| hide(&mut message.client_authentication));
    check(data, |message: &mut IssueTokenResponse| message.access_token = CANARY.into());
    check(data, |message: &mut IntrospectTokenRequest| {
        message.token = CANARY.into();
        hide(&mut message.client_authentication);
    });
    check(data, |message: &mut RevokeTokenRequest| {
        message.token = CANARY.into();
        hide(&mut message.client_authentication);
    });
    check(data, |message: &mut ReportLeakedSecretRequest| message.client_secret = CANARY.into());
    check(data, |_: &mut IntrospectTokenResponse| {});
}

fn hide(authentication: &mut Option<ClientAuthentication>) {
    authentication.get_or_insert_default().client_secret = CANARY.into();
}

fn check<M: Message + Default + PartialEq + Debug>(data: &[u8], hide: impl Fn(&mut M)) {
    let Ok(mut message) = M::decode(data) else { return };
    let encoded = message.encode_to_vec();
    assert_eq!(encoded.len(), message.encoded_len());
    assert!(M::decode(&*encoded).is_ok_and(|again| again == message));
    // Other fields may hold the word by chance of the input.
    if !data.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
        hide(&mut message);
        assert!(!format!("{message:?}{message:#?}").contains(CANARY));
    }
}
