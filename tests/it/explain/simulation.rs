//! A simulated request gets what a real one gets.

use std::collections::BTreeSet;

use jeton::{
    domain::{Audience, ClientId, Error, Scope, TokenLifetime},
    pb::v1::IssueTokenRequest,
    registry::{NewClient, NewSecret, Simulated},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use crate::support::{
    Kind, TestNode, everything,
    node::{Credentials, issue_request, new_client},
};

const SCOPES: [&str; 3] = ["admin", "read", "write"];
const AUDIENCES: [&str; 3] = ["https://x.test", "https://y.test", "https://z.test"];

/// What a client is registered with, and what it requests. Bits select names.
#[derive(Debug, Clone)]
struct Case {
    scopes: u8,
    default_scopes: u8,
    audiences: u8,
    default_audience: Option<usize>,
    several: bool,
    no_grant: bool,
    lifetime: u32,
    asked_scopes: u8,
    asked_audiences: u8,
    odd: Option<String>,
    is_disabled: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let registered = (0..8_u8, 0..8_u8, 0..8_u8, proptest::option::of(0..3_usize), any::<bool>());
    let asked = (0..8_u8, 0..8_u8, proptest::option::weighted(0.1, "[ -~]{0,8}"));
    let rest = (proptest::bool::weighted(0.1), proptest::bool::weighted(0.1), 1..86_400_u32);
    (registered, asked, rest).prop_map(|(registered, asked, rest)| Case {
        scopes: registered.0,
        default_scopes: registered.1 & registered.0,
        audiences: registered.2,
        default_audience: registered.3.filter(|at| registered.2 >> at & 1 == 1),
        several: registered.4,
        no_grant: rest.0,
        is_disabled: rest.1,
        lifetime: rest.2,
        asked_scopes: (asked.0 & registered.0) | (asked.0 & 1),
        asked_audiences: asked.1,
        odd: asked.2,
    })
}

fn names(of: [&'static str; 3], bits: u8) -> Vec<String> {
    let chosen = of.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
    chosen.map(|(_, name)| name.to_owned()).collect()
}

impl Case {
    async fn register(&self, node: &TestNode, number: usize) -> Credentials {
        let scopes = |bits| Scope::parse_set(names(SCOPES, bits)).unwrap();
        let base = new_client(&format!("client-{number}"));
        node.register(NewClient {
            grants: if self.no_grant { BTreeSet::new() } else { base.grants.clone() },
            scopes: scopes(self.scopes),
            default_scopes: Some(scopes(self.default_scopes)),
            audiences: Audience::parse_set(names(AUDIENCES, self.audiences)).unwrap(),
            default_audience: self
                .default_audience
                .map(|at| Audience::parse(AUDIENCES[at]).unwrap()),
            several_audiences: self.several,
            token_lifetime: TokenLifetime::from_seconds(self.lifetime).unwrap(),
            ..base
        })
        .await
    }

    fn request(&self, caller: &Credentials) -> IssueTokenRequest {
        let mut scopes = names(SCOPES, self.asked_scopes);
        scopes.extend(self.odd.clone());
        let resources = names(AUDIENCES, self.asked_audiences);
        IssueTokenRequest { scopes, resources, ..issue_request(caller) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_request_gets_what_a_real_one_gets() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let mut runner = TestRunner::new(Config::default());
        let (mut issued, mut refused) = (0, 0);
        for number in 0..60 {
            let case = cases().new_tree(&mut runner).unwrap().current();
            let caller = case.register(&node, number).await;
            let request = case.request(&caller);
            let client_id = &caller.client.client_id;
            if case.is_disabled {
                let disabled = jeton::domain::ClientState::Disabled;
                node.registry.set_client_state(client_id, disabled).await.unwrap();
            }
            let simulated = node
                .registry
                .simulate_issue(client_id, &request.scopes, &request.resources)
                .await
                .unwrap();
            match (node.grpc.clone().issue_token(request).await, &simulated.outcome) {
                (Ok(answer), Simulated::Issued(granted, lifetime)) => {
                    let answer = answer.into_inner();
                    everything::note_secrets_in(&answer.access_token);
                    let told = node.introspect(&caller, &answer.access_token).await.unwrap();
                    let texts: Vec<_> = granted.scopes.iter().map(ToString::to_string).collect();
                    assert_eq!(answer.scopes, texts, "{kind:?} {case:?}");
                    let texts: Vec<_> = granted.audiences.iter().map(ToString::to_string).collect();
                    assert_eq!(told.audiences, texts, "{kind:?} {case:?}");
                    assert_eq!(lifetime.as_secs(), u64::from(case.lifetime));
                    issued += 1;
                }
                (Err(status), outcome) if outcome.error().is_some() => {
                    let error = outcome.error().unwrap();
                    assert_eq!(status.message(), error.to_string(), "{kind:?} {case:?}");
                    refused += 1;
                }
                (real, simulated) => panic!("{kind:?} {case:?}: {real:?}, {simulated:?}"),
            }
        }
        assert!(issued > 0 && refused > 0, "{kind:?}: {issued} issued, {refused} refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_authenticate_would_get_nothing() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let past = NewSecret {
            expires_at: Some(node.client("x").await.client.created_at),
            ..NewSecret::default()
        };
        let (client, _) = node.registry.create_client(new_client("orders"), past).await.unwrap();
        let simulated = node.registry.simulate_issue(&client.client_id, &[], &[]).await.unwrap();
        assert!(matches!(simulated.outcome, Simulated::NoLiveSecret), "{kind:?}");
        assert_eq!(simulated.live_secrets, 0);
        assert!(matches!(simulated.outcome.error(), Some(Error::InvalidClient)));
        let nobody = ClientId::parse("nobody").unwrap();
        let missing = node.registry.simulate_issue(&nobody, &[], &[]).await.unwrap_err();
        assert!(missing.to_string().contains("there is no client nobody"), "{missing}");
    }
}
