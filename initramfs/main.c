/* Which of the two lives this is: the initramfs is the only place with /init. */
#include "init.h"

#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argc;
	if (getpid() != 1) {
		say("%s: runs as PID 1 only", argv[0]);
		return 1;
	}
	if (strcmp(argv[0], "/init") == 0)
		early_main();
	late_main();
}
