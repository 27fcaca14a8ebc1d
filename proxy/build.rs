//! Generates the control channel's stubs: the client for the proxy, the server for the operator that its tests play. Messages are `tollway_core::control`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../core/proto/control.proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile([proto], ["../core/proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    for (half, server) in [("client", false), ("server", true)] {
        let dir = out.join(half);
        std::fs::create_dir_all(&dir)?;
        tonic_prost_build::configure()
            .build_client(!server)
            .build_server(server)
            .out_dir(dir)
            .extern_path(".tollway.control.v1", "::tollway_core::control")
            .compile_fds(files.clone())?;
    }
    Ok(())
}
