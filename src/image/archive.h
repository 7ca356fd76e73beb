/* archive.h: images from files: the role `archive`, which answers serve and bake in fetch's place (fetch_protocol.h).
 *
 *   descriptor 3: the socket      4: an OCI layout's directory, or a tar archive of one or of `docker save`, which may
 *   be compressed (gzip, zstd)
 *
 * One process an archive: own uid, no network, seccomp, and only what is below descriptor 4. Archives are hostile; what
 * comes out is checked by serve against digests, as with fetch.
 *
 * Nothing is unpacked: files are found by walking a tar archive once (a plain one by its headers alone) and read where they
 * lie. A compressed one is gone through from its beginning again for what lies before the last thing that was read;
 * requests that wait are answered in the order in which they lie, so that one pass does for most. Small files are
 * kept from the first pass.
 *
 * A docker archive (manifest.json) is told as an OCI layout. Its layers are tar files without a registry's digest: the
 * digest of a layer's bytes as they lie in the archive takes its place, which for a plain tar file is the diff ID that the
 * configuration lists. An image's ID is its configuration's digest, here as everywhere, so that the same image from a
 * registry, with compressed layers, is the same image.
 */
#ifndef CRISP_ARCHIVE_H
#define CRISP_ARCHIVE_H

/* `archive [--uid N]`: the role. */
int archive_main(int argc, char **argv);

#endif
