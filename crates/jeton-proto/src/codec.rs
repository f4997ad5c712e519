//! The codec of the messages of the contract: small buffers, and a bound for a batch.

use std::{any::TypeId, iter, marker::PhantomData};

use prost::{
    Message,
    bytes::Buf,
    encoding::{DecodeContext, decode_key, skip_field},
};
use tonic::{
    Status,
    codec::{self, BufferSettings, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::v1::{BatchCreateClientsRequest, ImportClientsRequest};

/// Maximum entries of a batch that are decoded. An entry of two bytes becomes a struct of hundreds,
/// so a message of half a megabyte would take more than a hundred. The service itself counts
/// precisely, and accepts fewer.
const MAX_ENTRIES: usize = 1_000;

/// Codec buffers: 512 bytes allocated before the size of a message is known, and at most 32 KiB of
/// encoded messages waiting to be sent. Nearly all messages are smaller than 512 bytes. tonic's own
/// buffers take 8 KiB, one to read and one to write, for each of hundreds of requests in flight.
fn buffers() -> BufferSettings {
    BufferSettings::new(512, 32 * 1024)
}

/// tonic's protobuf codec with small buffers, and a decoder with a bound.
#[derive(Debug, Clone)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> codec::Codec for Codec<T, U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstCodec::<T, U>::raw_decoder(buffers()))
    }
}

/// tonic's decoder, which refuses a batch of too many entries before they become structs.
#[derive(Debug)]
pub struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + 'static> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let batches =
            [TypeId::of::<BatchCreateClientsRequest>(), TypeId::of::<ImportClientsRequest>()];
        let is_batch = batches.contains(&TypeId::of::<U>());
        // The buffer holds the whole message in one piece.
        if is_batch && fields(buffer.chunk()) > MAX_ENTRIES {
            // The code of all that cannot be decoded.
            return Err(Status::internal("a batch has at most 200 clients, an import 50"));
        }
        self.0.decode(buffer)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Counts the fields of an encoded message up to the bound, without those inside of them. It stops
/// at one that cannot be read, as decoding does.
fn fields(mut encoded: &[u8]) -> usize {
    let skip = || {
        let (tag, wire_type) = decode_key(&mut encoded).ok()?;
        skip_field(wire_type, tag, &mut encoded, DecodeContext::default()).ok()
    };
    iter::from_fn(skip).take(MAX_ENTRIES + 1).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Client, CreateClientRequest};

    #[test]
    fn entries_are_counted_up_to_the_bound_however_small_they_are() {
        for (size, counted) in [(0, 0), (1, 1), (200, 200), (2_000_000, MAX_ENTRIES + 1)] {
            assert_eq!(fields(&[0x0a, 0].repeat(size)), counted);
        }
        let client = Client { scopes: vec!["orders".to_owned(); 64], ..Client::default() };
        let entry = CreateClientRequest { client: Some(client), ..CreateClientRequest::default() };
        let whole = BatchCreateClientsRequest { requests: vec![entry; 3] }.encode_to_vec();
        assert_eq!(fields(&whole), 3);
        assert_eq!(fields(&whole[..whole.len() - 1]), 2, "the last one is cut off");
    }
}
