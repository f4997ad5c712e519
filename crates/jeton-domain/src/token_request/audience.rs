//! The audiences of a new token: one, unless the client is registered for several and names them.

use std::collections::BTreeSet;

use crate::{Audience, Client, Error};

/// The audiences that were requested, or the default one. A token for several could be replayed by
/// each of their resource servers at the others, so it is issued only to a client that is
/// registered for that, and only if it names them.
pub(super) fn granted_audiences(
    client: &Client,
    asked: BTreeSet<Audience>,
) -> Result<BTreeSet<Audience>, Error> {
    if asked.is_empty() {
        return Ok(default_audience(client)?.cloned().into_iter().collect());
    }
    if !asked.is_subset(&client.audiences) {
        let why = "a requested resource is not registered for the client";
        return Err(Error::InvalidTarget(why.into()));
    }
    if asked.len() > 1 && !client.several_audiences {
        let why = "the client may not get a token for several resources: request one token for \
                   each resource";
        return Err(Error::InvalidTarget(why.into()));
    }
    Ok(asked)
}

/// The audience of a token requested without one. `None` if the client has no audiences.
fn default_audience(client: &Client) -> Result<Option<&Audience>, Error> {
    let Some(default) = &client.default_audience else {
        if client.must_name_audience() {
            return Err(Error::InvalidTarget(must_name_one_of(&client.audiences).into()));
        }
        return Ok(client.audiences.first());
    };
    // A default that is no longer registered is not granted, whatever the row says.
    let registered = client.audiences.get(default);
    registered.map(Some).ok_or(Error::InvalidTarget(
        "the default audience of the client is not registered for it any more".into(),
    ))
}

/// Says which audiences a request may name, as far as they fit into a short answer.
fn must_name_one_of(audiences: &BTreeSet<Audience>) -> String {
    const LONGEST: usize = 1_000;
    let mut text =
        "the client has several audiences and no default: send one of them as resource:".to_owned();
    for (number, audience) in audiences.iter().map(Audience::as_str).enumerate() {
        if text.len() + audience.len() > LONGEST {
            let others = audiences.len() - number;
            return format!("{text} and {others} more");
        }
        text.push(' ');
        text.push_str(audience);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::client_for_tests;

    fn audiences(names: &[&str]) -> BTreeSet<Audience> {
        Audience::parse_set(names).unwrap()
    }

    fn for_audiences(
        registered: &[&str],
        default: Option<&str>,
        several_audiences: bool,
        asked: &[&str],
    ) -> Result<BTreeSet<Audience>, String> {
        let client = Client {
            audiences: audiences(registered),
            default_audience: default.map(|name| Audience::parse(name).unwrap()),
            several_audiences,
            ..client_for_tests()
        };
        granted_audiences(&client, audiences(asked)).map_err(|error| error.to_string())
    }

    /// The audiences of a client, its default, the requested ones, and those of the token.
    type Row = (Names, Option<&'static str>, Names, Names);
    type Names = &'static [&'static str];

    #[test]
    fn a_token_is_for_one_audience_unless_several_are_named_and_allowed() {
        let rows: [Row; 8] = [
            (&[], None, &[], &[]),
            (&["a"], None, &[], &["a"]),
            (&["a"], Some("a"), &[], &["a"]),
            (&["a", "b"], Some("b"), &[], &["b"]),
            (&["a", "b"], Some("b"), &["a"], &["a"]),
            (&["a", "b"], None, &["b"], &["b"]),
            (&["a", "b"], None, &["b", "b"], &["b"]),
            (&["a"], None, &["a"], &["a"]),
        ];
        for (registered, default, asked, expected) in rows {
            for several in [false, true] {
                let granted = for_audiences(registered, default, several, asked);
                assert_eq!(
                    granted,
                    Ok(audiences(expected)),
                    "{registered:?} {default:?} {asked:?}"
                );
            }
        }
        let several = for_audiences(&["a", "b", "c"], None, true, &["a", "c"]);
        assert_eq!(several, Ok(audiences(&["a", "c"])));
    }

    #[test]
    fn a_request_that_leaves_the_audience_open_is_told_what_to_send() {
        let refused = |registered: &[&str], default, several, asked: &[&str]| {
            for_audiences(registered, default, several, asked).unwrap_err()
        };
        for several in [false, true] {
            let why = refused(&["a", "https://b.test"], None, several, &[]);
            assert!(why.ends_with("send one of them as resource: a https://b.test"), "{why}");
            let why = refused(&["a"], None, several, &["a", "b"]);
            assert_eq!(why, "a requested resource is not registered for the client");
            for registered in [&["a"][..], &["a", "b"], &[]] {
                let why = refused(registered, Some("gone"), several, &[]);
                assert!(why.starts_with("the default audience of the client is not"), "{why}");
            }
        }
        let why = refused(&["a", "b"], Some("a"), false, &["a", "b"]);
        assert!(why.ends_with("request one token for each resource"), "{why}");

        let long: Vec<_> = (0..16).map(|number| format!("{number:0>256}")).collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        let why = refused(&long, None, false, &[]);
        assert!(why.len() < 1_100 && why.ends_with(" and 13 more"), "{why}");
    }
}
