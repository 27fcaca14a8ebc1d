//! Generates the server half of the control channel; its messages are `tollway_core::control`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../core/proto/control.proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile([proto], ["../core/proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".tollway.control.v1", "::tollway_core::control")
        .compile_fds(files)?;
    Ok(())
}
