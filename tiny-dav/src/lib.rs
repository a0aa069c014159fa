//! What plugs into tiny-media: codecs, devices, files
