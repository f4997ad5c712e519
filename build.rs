//! Compiles `proto/` with a protobuf compiler written in Rust, so that no `protoc` is needed and
//! every machine compiles the same contract. The lane of each method and the secret fields are read
//! from the options of the contract, which is the only place that defines them.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::{self, Write},
    fs,
    path::PathBuf,
};

use protox::prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};

const PACKAGE: &str = "jeton.v1";

fn main() -> Result<(), Box<dyn Error>> {
    let proto = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", proto.display());
    let mut compiler = protox::Compiler::new([&proto])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["jeton/v1/error_reason.proto", "jeton/v1/token_service.proto"])?;

    // The descriptors are written here because `compile_fds` ignores the option to write them.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("jeton.v1.descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let pool = compiler.descriptor_pool();
    let secret: Vec<_> = pool.all_messages().filter(has_secret).collect();
    let mut debug = String::new();
    secret.iter().try_for_each(|message| write_debug(&mut debug, message))?;
    fs::write(out.join("redacted_debug.rs"), debug)?;
    fs::write(out.join("method.rs"), method_table(&pool)?)?;

    let secret: Vec<_> = secret.iter().map(MessageDescriptor::full_name).collect();
    tonic_prost_build::configure()
        .skip_debug(secret)
        .codec_path("crate::Codec")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Whether a message of the contract has a field with `debug_redact`.
fn has_secret(message: &MessageDescriptor) -> bool {
    message.package_name() == PACKAGE && message.fields().any(|field| is_secret(&field.options()))
}

fn is_secret(options: &DynamicMessage) -> bool {
    let redact = options.get_field_by_name("debug_redact");
    redact.is_some_and(|redact| redact.as_bool() == Some(true))
}

/// Writes a `Debug` like the one that prost derives, with a placeholder for each secret: prost
/// itself does not support `debug_redact` (tokio-rs/prost#861).
fn write_debug(out: &mut String, message: &MessageDescriptor) -> fmt::Result {
    let name = message.name();
    writeln!(out, "impl std::fmt::Debug for v1::{name} {{")?;
    writeln!(out, "    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{")?;
    writeln!(out, "        f.debug_struct(\"{name}\")")?;
    for field in message.fields().filter(|field| field.containing_oneof().is_none()) {
        let name = field.name();
        let is_secret = is_secret(&field.options());
        let value = if is_secret { "REDACTED".to_owned() } else { format!("self.{name}") };
        writeln!(out, "            .field(\"{name}\", &{value})")?;
    }
    for choice in message.oneofs() {
        // A message in a oneof redacts its own secrets; a secret scalar in it would be printed.
        let is_plain = choice.fields().any(|field| is_secret(&field.options()));
        assert!(!is_plain, "{}: put the secret into a message", choice.full_name());
        let name = choice.name();
        writeln!(out, "            .field(\"{name}\", &self.{name})")?;
    }
    writeln!(out, "            .finish()\n    }}\n}}")
}

/// Source of `enum Method`: the methods of all services, with their lanes.
fn method_table(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    let methods: Vec<_> =
        services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let (mut variants, mut names, mut paths) = <(String, String, String)>::default();
    let mut lanes = BTreeMap::new();
    for method in &methods {
        let (name, service) = (method.name(), method.parent_service().full_name());
        assert!(!method.is_client_streaming() && !method.is_server_streaming(), "{name} streams");
        writeln!(variants, "    /// `{service}.{name}`.\n    {name},")?;
        writeln!(names, "            Self::{name} => \"{name}\",")?;
        writeln!(paths, "            Self::{name} => \"/{service}/{name}\",")?;
        lanes.entry(lane(pool, method)?).or_insert_with(Vec::new).push(format!("Self::{name}"));
    }
    let lanes = lanes.iter().try_fold(String::new(), |mut arms, (lane, methods)| {
        writeln!(arms, "            {} => v1::Lane::{lane},", methods.join(" | ")).map(|()| arms)
    })?;
    let all: Vec<_> = methods.iter().map(|method| format!("Self::{}", method.name())).collect();
    Ok(format!(
        "/// A method of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {{
{variants}}}

impl Method {{
    /// All methods.
    pub const ALL: [Self; {count}] = [{all}];

    /// Name of the method in the contract, in metrics and in the access log.
    #[must_use]
    pub const fn name(self) -> &'static str {{
        match self {{
{names}        }}
    }}

    /// Path of the method over gRPC.
    #[must_use]
    pub const fn path(self) -> &'static str {{
        match self {{
{paths}        }}
    }}

    /// Lane whose concurrency limit, hash queue and connections the method uses.
    #[must_use]
    pub const fn lane(self) -> v1::Lane {{
        match self {{
{lanes}        }}
    }}
}}
",
        count = methods.len(),
        all = all.join(", "),
    ))
}

/// Lane of a method, as the name of a variant of `domain::Lane`.
fn lane(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<&'static str, String> {
    let extension =
        pool.get_extension_by_name("jeton.v1.lane").ok_or("there is no option `lane`")?;
    match method.options().get_extension(&extension).as_enum_number() {
        Some(1) => Ok("Issue"),
        Some(2) => Ok("Inspect"),
        _ => Err(format!("{} has no lane: give it `option (lane)`", method.full_name())),
    }
}
