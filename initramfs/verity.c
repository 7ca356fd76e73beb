/*
 * dm-verity by device-mapper's ioctls (linux/dm-ioctl.h, Documentation/admin-guide/device-mapper/verity.rst).
 * The superblock that veritysetup wrote before the hash tree says block sizes and salt; it needs no trust:
 * whatever it says, data are believed only as far as they hash to the root hash of the command line.
 */
#include "init.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SALT_MAX 256
#define TABLE_MAX 1024
#define DISK_WAIT_MS 30000

struct verity_superblock {
	uint8_t signature[8];
	uint32_t version, hash_type;
	uint8_t uuid[16];
	char algorithm[32];
	uint32_t data_block_size, hash_block_size;
	uint64_t data_blocks;
	uint16_t salt_size;
	uint8_t pad[6];
	uint8_t salt[SALT_MAX];
};

struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char table[TABLE_MAX];
};

static void superblock_read(const char *disk, uint64_t offset, struct verity_superblock *sb)
{
	int fd = open(disk, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("%s: %s", disk, strerror(errno));
	if (pread(fd, sb, sizeof(*sb), offset) != sizeof(*sb))
		fail("%s: cannot read the verity superblock at %llu", disk, (unsigned long long)offset);
	close(fd);
	if (memcmp(sb->signature, "verity\0\0", 8) != 0 || le32toh(sb->version) != 1)
		fail("%s: no verity superblock at %llu", disk, (unsigned long long)offset);
	if (le16toh(sb->salt_size) > SALT_MAX || !memchr(sb->algorithm, 0, sizeof(sb->algorithm)) ||
	    le32toh(sb->hash_block_size) < 512 || le32toh(sb->data_block_size) < 512)
		fail("%s: the verity superblock is damaged", disk);
}

static void request_init(struct request *request, const char *name)
{
	memset(request, 0, sizeof(*request));
	request->head.version[0] = DM_VERSION_MAJOR;
	request->head.data_size = sizeof(*request);
	request->head.data_start = offsetof(struct request, target);
	snprintf(request->head.name, sizeof(request->head.name), "%s", name);
}

static void table_write(struct request *request, const char *disk, const char *root_hash,
			uint64_t hash_offset, const struct verity_superblock *sb)
{
	uint32_t hash_block = le32toh(sb->hash_block_size), data_block = le32toh(sb->data_block_size);
	char salt[2 * SALT_MAX + 1] = "-";
	int i, n;

	for (i = 0; i < le16toh(sb->salt_size); i++)
		sprintf(salt + 2 * i, "%02x", sb->salt[i]);
	n = snprintf(request->table, sizeof(request->table), "1 %s %s %u %u %llu %llu %s %s %s",
		     disk, disk, data_block, hash_block, (unsigned long long)le64toh(sb->data_blocks),
		     (unsigned long long)(hash_offset / hash_block + 1), sb->algorithm, root_hash, salt);
	if (n >= (int)sizeof(request->table))
		fail("verity: the table is too long");
	request->head.target_count = 1;
	request->head.flags = DM_READONLY_FLAG;
	request->target.length = le64toh(sb->data_blocks) * data_block / 512;
	strcpy(request->target.target_type, "verity");
}

/* A device of that name over the disk whose data end at hash_offset, where a superblock and the tree follow. */
static void device_make(const char *name, const char *disk, const char *root_hash, uint64_t hash_offset, char *path,
			size_t size)
{
	struct verity_superblock sb;
	struct request request;
	int control;

	superblock_read(disk, hash_offset, &sb);
	control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		fail("device mapper: %s", strerror(errno));
	request_init(&request, name);
	if (ioctl(control, DM_DEV_CREATE, &request) < 0)
		fail("verity: create the device: %s", strerror(errno));
	snprintf(path, size, "/dev/dm-%u", minor(request.head.dev));
	request_init(&request, name);
	table_write(&request, disk, root_hash, hash_offset, &sb);
	if (ioctl(control, DM_TABLE_LOAD, &request) < 0)
		fail("verity: load the table '%s': %s", request.table, strerror(errno));
	request_init(&request, name);
	if (ioctl(control, DM_DEV_SUSPEND, &request) < 0)
		fail("verity: start the device: %s", strerror(errno));
	close(control);
}

void verity_open(const char *name, const char *key, char *path, size_t size)
{
	const char *hash, *offset;
	char hash_key[64], offset_key[64], disk[64];

	snprintf(hash_key, sizeof(hash_key), "%s.roothash", key);
	snprintf(offset_key, sizeof(offset_key), "%s.hashoffset", key);
	if (!cmdline_get(hash_key, &hash) || !cmdline_get(offset_key, &offset))
		fail("the command line has no %s= and %s=: only a verified %s is mounted", hash_key, offset_key, name);
	if (!disk_find(name, DISK_WAIT_MS, disk, sizeof(disk)))
		fail("there is no disk %s", name);
	device_make(name, disk, hash, strtoull(offset, NULL, 10), path, size);
}
