//! The generated code of `proto/`, and a `Debug` that redacts where a message holds a secret.

/// `jeton.v1`, the contract.
pub mod v1 {
    #![expect(
        unused_qualifications,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        clippy::allow_attributes,
        reason = "generated code is read in proto/"
    )]
    tonic::include_proto!("jeton.v1");
}

use std::marker::PhantomData;

use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// The descriptors of `proto/`, for reflection.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/jeton.v1.descriptors.bin"));

/// The `domain` of every `google.rpc.ErrorInfo` that comes from here.
pub const ERROR_DOMAIN: &str = "jeton";

/// What is allocated for a message before its size is known, and how much of it may wait. Nearly
/// all of ours are smaller; tonic's own buffers are of 8 KiB, one to read and one to write, and a
/// node that holds hundreds of requests holds them all.
fn buffers() -> BufferSettings {
    BufferSettings::new(512, 32 * 1024)
}

/// Protobuf as tonic has it, with small buffers.
#[derive(Debug, Clone)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: prost::Message + 'static,
    U: prost::Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(buffers())
    }
}

const REASON_PREFIX: &str = "ERROR_REASON_";

impl v1::ErrorReason {
    /// The name as it travels in `ErrorInfo.reason`, such as `INVALID_CLIENT`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix(REASON_PREFIX).unwrap_or(name)
    }

    /// Reads an `ErrorInfo.reason`; none for one that this version does not know.
    #[must_use]
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::from_str_name(&format!("{REASON_PREFIX}{reason}"))
    }
}

const REDACTED: &str = "[redacted]";

// `Debug` for the messages that hold a secret, as `build.rs` finds them in `proto/`.
include!(concat!(env!("OUT_DIR"), "/redacted_debug.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    /// A new field that sounds like a secret is marked, or is named here as none.
    #[test]
    fn every_field_that_sounds_like_a_secret_is_marked_as_one() {
        const HARMLESS: [&str; 4] =
            ["token_type", "token_type_hint", "token_id", "client_credentials"];
        let pool = prost_reflect::DescriptorPool::decode(DESCRIPTORS).unwrap();
        let ours = pool.all_messages().filter(|message| message.package_name() == "jeton.v1");
        for field in ours.flat_map(|message| message.fields().collect::<Vec<_>>()) {
            let options = field.options();
            let redact = options.get_field_by_name("debug_redact");
            let is_marked = redact.is_some_and(|redact| redact.as_bool() == Some(true));
            let sounds = ["secret", "token", "password", "assertion", "key", "credential"];
            let is_suspect = sounds.iter().any(|sound| field.name().contains(sound));
            let is_harmless = HARMLESS.contains(&field.name());
            assert_eq!(is_marked, is_suspect && !is_harmless, "{}", field.full_name());
        }
    }

    #[test]
    fn no_message_prints_its_secret() {
        let client_authentication = Some(v1::ClientAuthentication {
            client_id: "orders".into(),
            client_secret: "canary".into(),
        });
        let printed = [
            format!(
                "{:?}",
                v1::IssueTokenRequest {
                    client_authentication: client_authentication.clone(),
                    ..Default::default()
                }
            ),
            format!(
                "{:#?}",
                v1::IssueTokenResponse { access_token: "canary".into(), ..Default::default() }
            ),
            format!(
                "{:?}",
                v1::IntrospectTokenRequest {
                    token: "canary".into(),
                    client_authentication: client_authentication.clone(),
                    ..Default::default()
                }
            ),
            format!(
                "{:?}",
                v1::RevokeTokenRequest {
                    token: "canary".into(),
                    client_authentication,
                    ..Default::default()
                }
            ),
        ];
        for text in printed {
            assert!(!text.contains("canary"), "{text}");
            assert!(text.contains(REDACTED), "{text}");
        }
    }

    #[test]
    fn every_reason_travels_by_name_and_back() {
        for number in 0..=9 {
            let reason = v1::ErrorReason::try_from(number).unwrap();
            assert_eq!(v1::ErrorReason::from_reason(reason.reason()), Some(reason));
        }
        assert_eq!(v1::ErrorReason::from_reason("NO_SUCH_REASON"), None);
    }
}
