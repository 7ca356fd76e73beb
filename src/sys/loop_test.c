#include "sys/loop.h"

#include "base/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(a_file_is_read_through_its_device_and_not_written)
{
	char path[] = "/tmp/crisp-loop-XXXXXX", name[LOOP_NAME_MAX], block[4096] = "of the file", back[4096];
	_close_ int file = mkostemp(path, O_CLOEXEC), device = -1;
	struct stat st;

	if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK) < 0)
		SKIP("no loop devices here");
	CHECK(unlink(path) == 0 && write(file, block, sizeof(block)) == (ssize_t)sizeof(block) && fsync(file) == 0);
	struct err *e = loop_attach(file, &device, name);

	if (err_is(e, ERR_DENIED)) {
		err_free(e);
		SKIP("loop devices are not for us");
	}
	CHECK_OK(e);
	CHECK(fstat(device, &st) == 0 && S_ISBLK(st.st_mode));
	CHECK(pread(device, back, sizeof(back), 0) == (ssize_t)sizeof(back) && !memcmp(back, block, sizeof(block)));
	_close_ int writer = open(name, O_RDWR | O_CLOEXEC);

	/* some kernels refuse the open, others the write */
	CHECK(writer < 0 || pwrite(writer, back, sizeof(back), 0) < 0);
}

TEST(what_is_no_file_is_refused)
{
	char name[LOOP_NAME_MAX];
	_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC), device = -1;

	if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK) < 0)
		SKIP("no loop devices here");
	_err_ struct err *e = loop_attach(null, &device, name);

	CHECK(e != NULL && device == -1);
}

TEST_MAIN
