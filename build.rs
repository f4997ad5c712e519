//! Compiles `proto/` with a protobuf compiler written in Rust, so that no `protoc` is needed and
//! every machine compiles the same contract. What the server has to know of each method, and which
//! fields are secret, is read from the options of the contract and written down nowhere else.

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
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["jeton/v1/error_reason.proto", "jeton/v1/token_service.proto"])?;

    // The descriptors are written here because `compile_fds` ignores the option that would do it.
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
        .codec_path("crate::pb::Codec")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Whether the contract marks one of its fields with `debug_redact`.
fn has_secret(message: &MessageDescriptor) -> bool {
    message.package_name() == PACKAGE && message.fields().any(|field| is_secret(&field.options()))
}

fn is_secret(options: &DynamicMessage) -> bool {
    let redact = options.get_field_by_name("debug_redact");
    redact.is_some_and(|redact| redact.as_bool() == Some(true))
}

/// A `Debug` like the one that prost derives, with a placeholder in the place of each secret: prost
/// itself does not know `debug_redact` (tokio-rs/prost#861).
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
        // A message prints its own fields, secret ones as well; a plain secret would be printed.
        let is_plain = choice.fields().any(|field| is_secret(&field.options()));
        assert!(!is_plain, "{}: put the secret into a message", choice.full_name());
        let name = choice.name();
        writeln!(out, "            .field(\"{name}\", &self.{name})")?;
    }
    writeln!(out, "            .finish()\n    }}\n}}")
}

/// `enum Method`: the methods of all services, with their lanes.
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
        writeln!(arms, "            {} => Lane::{lane},", methods.join(" | ")).map(|()| arms)
    })?;
    let all: Vec<_> = methods.iter().map(|method| format!("Self::{}", method.name())).collect();
    Ok(format!(
        "/// A method of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {{
{variants}}}

impl Method {{
    /// All of them.
    pub const ALL: [Self; {count}] = [{all}];

    /// Its name in the contract, in metrics and in the access log.
    #[must_use]
    pub const fn name(self) -> &'static str {{
        match self {{
{names}        }}
    }}

    /// The path of its calls over gRPC.
    #[must_use]
    pub const fn path(self) -> &'static str {{
        match self {{
{paths}        }}
    }}

    /// The lane whose concurrency limit, hash queue and connections it uses.
    #[must_use]
    pub const fn lane(self) -> Lane {{
        match self {{
{lanes}        }}
    }}
}}
",
        count = methods.len(),
        all = all.join(", "),
    ))
}

/// The lane of a method, by its name in `domain::Lane`.
fn lane(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<&'static str, String> {
    let extension =
        pool.get_extension_by_name("jeton.v1.lane").ok_or("there is no option `lane`")?;
    match method.options().get_extension(&extension).as_enum_number() {
        Some(1) => Ok("Issue"),
        Some(2) => Ok("Inspect"),
        _ => Err(format!("{} has no lane: give it `option (lane)`", method.full_name())),
    }
}
