//! Compiles `proto/` with a protobuf compiler written in Rust, so that no `protoc` is needed and
//! every machine compiles the same contract. The lane and the permission of each method and the
//! secret fields are read from the options of the contract, which is the only place that defines
//! them.

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

const ERROR_REASON: &str = "jeton/v1/error_reason.proto";
const TOKEN_SERVICE: &str = "jeton/v1/token_service.proto";
const CLIENT_SERVICE: &str = "jeton/v1/client_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let proto = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", proto.display());
    let open = |files: &[&str]| -> Result<protox::Compiler, Box<dyn Error>> {
        let mut compiler = protox::Compiler::new([&proto])?;
        compiler.include_imports(true).include_source_info(true);
        compiler.open_files(files)?;
        Ok(compiler)
    };
    let compiler = open(&[ERROR_REASON, TOKEN_SERVICE, CLIENT_SERVICE])?;

    // The descriptors are written here because `compile_fds` ignores the option to write them. A
    // listener describes only the service that it serves.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("jeton.v1.descriptors.bin"), compiler.encode_file_descriptor_set())?;
    for (service, name) in [(TOKEN_SERVICE, "token_service"), (CLIENT_SERVICE, "client_service")] {
        let own = open(&[ERROR_REASON, service])?;
        fs::write(out.join(format!("{name}.bin")), own.encode_file_descriptor_set())?;
    }

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
        // In order of their keys, so that equal messages have equal bytes: a page token is bound to
        // those of its request.
        .btree_map(".jeton.v1")
        // A result of a batch is as large as its larger variant.
        .boxed(".jeton.v1.BatchResult.outcome.created")
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

/// Source of `enum Method`: the methods of all services, with their lanes and permissions.
fn method_table(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    let services: Vec<(String, Vec<MethodDescriptor>)> =
        services.map(|service| (service.name().to_owned(), service.methods().collect())).collect();
    let methods: Vec<_> = services.iter().flat_map(|(_, methods)| methods).collect();
    let (mut variants, mut names, mut paths) = <(String, String, String)>::default();
    let mut streams = Vec::new();
    for method in &methods {
        let (name, service) = (method.name(), method.parent_service().full_name());
        assert!(!method.is_client_streaming(), "{name} takes a stream");
        if method.is_server_streaming() {
            streams.push(format!("Self::{name}"));
        }
        writeln!(variants, "    /// `{service}.{name}`.\n    {name},")?;
        writeln!(names, "            Self::{name} => \"{name}\",")?;
        writeln!(paths, "            Self::{name} => \"/{service}/{name}\",")?;
    }
    let lanes = arms(pool, &methods, "lane", "Lane")?;
    let permissions = arms(pool, &methods, "requires", "Permission")?;
    let streams = streams.join(" | ");
    let all = list("All methods", "ALL", &methods)?;
    let of_services: String = services
        .iter()
        .map(|(name, methods)| {
            let methods: Vec<_> = methods.iter().collect();
            list(&format!("Methods of `{name}`"), &constant(name), &methods)
        })
        .collect::<Result<_, fmt::Error>>()?;
    Ok(format!(
        "/// A method of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {{
{variants}}}

impl Method {{
{all}{of_services}
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

    /// Whether the method answers with a stream.
    #[must_use]
    pub const fn is_stream(self) -> bool {{
        matches!(self, {streams})
    }}

    /// Permission that the method requires of its caller.
    #[must_use]
    pub const fn requires(self) -> v1::Permission {{
        match self {{
{permissions}        }}
    }}
}}
"
    ))
}

/// A constant of the methods in this list.
fn list(what: &str, name: &str, methods: &[&MethodDescriptor]) -> Result<String, fmt::Error> {
    let members: Vec<_> = methods.iter().map(|method| format!("Self::{}", method.name())).collect();
    let mut text = String::new();
    writeln!(text, "    /// {what}.")?;
    let (count, members) = (methods.len(), members.join(", "));
    writeln!(text, "    pub const {name}: [Self; {count}] = [{members}];")?;
    Ok(text)
}

/// `TokenService` as the name of a constant, `TOKEN_SERVICE`.
fn constant(name: &str) -> String {
    name.chars().enumerate().fold(String::new(), |text, (place, letter)| {
        let gap = if letter.is_uppercase() && place > 0 { "_" } else { "" };
        format!("{text}{gap}{}", letter.to_ascii_uppercase())
    })
}

/// The arms of a `match` from the methods to their values of an option. The variants of the enum
/// are named like its values without their prefix: `LANE_ISSUE` of `Lane` is `Lane::Issue`.
fn arms(
    pool: &DescriptorPool,
    methods: &[&MethodDescriptor],
    option: &str,
    of: &str,
) -> Result<String, Box<dyn Error>> {
    let name = format!("{PACKAGE}.{option}");
    let extension =
        pool.get_extension_by_name(&name).ok_or(format!("there is no option `{option}`"))?;
    let mut by_value: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for method in methods {
        let options = method.options();
        let value = options.get_extension(&extension).as_enum_number().unwrap_or_default();
        if value == 0 {
            let method = method.full_name();
            return Err(format!("{method} has no {option}: give it `option ({option})`").into());
        }
        by_value.entry(value).or_default().push(format!("Self::{}", method.name()));
    }
    let values =
        pool.get_enum_by_name(&format!("{PACKAGE}.{of}")).ok_or("there is no such enum")?;
    by_value.iter().try_fold(String::new(), |mut arms, (value, methods)| {
        let value = values.get_value(*value).ok_or("there is no such value")?;
        let name = value.name().rsplit('_').next().unwrap_or_default().to_lowercase();
        let (first, rest) = name.split_at(1);
        let variant = format!("v1::{of}::{}{rest}", first.to_uppercase());
        writeln!(arms, "            {} => {variant},", methods.join(" | "))?;
        Ok(arms)
    })
}
