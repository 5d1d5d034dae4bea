//! Compiles the schema without `protoc`, which no machine needs to have.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/foreshadow.proto");
    let descriptors = protox::compile(["proto/foreshadow.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
