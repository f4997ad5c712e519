//! Compiles `proto/` with a protobuf compiler written in Rust, so that no `protoc` is needed and
//! every machine compiles the same contract.

use std::{env, error::Error, fs, path::PathBuf};

/// Messages that carry a secret: prost would print it, so their `Debug` is written by hand in
/// `src/pb.rs`.
const SECRET_MESSAGES: [&str; 4] = [
    "jeton.v1.ClientAuthentication",
    "jeton.v1.IssueTokenResponse",
    "jeton.v1.IntrospectTokenRequest",
    "jeton.v1.RevokeTokenRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["jeton/v1/error_reason.proto", "jeton/v1/token_service.proto"])?;

    // The descriptors are written here because `compile_fds` ignores the option that would do it.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("jeton.v1.descriptors.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .skip_debug(SECRET_MESSAGES)
        .codec_path("crate::pb::Codec")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
