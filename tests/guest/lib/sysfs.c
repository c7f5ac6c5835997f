// SPDX-License-Identifier: MIT
#include "sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

#define PCI_DEVICES "/sys/bus/pci/devices/"

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done;
	int ret;

	if (fd < 0)
		return -errno;
	done = write(fd, text, strlen(text));
	ret = done < 0 ? -errno : (size_t)done == strlen(text) ? 0 : -EIO;
	close(fd);
	return ret;
}

int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t done;
	int ret = 0;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	while (length < size - 1) {
		done = read(fd, text + length, size - 1 - length);
		if (done < 0)
			ret = -errno;
		if (done <= 0)
			break;
		length += (size_t)done;
	}
	close(fd);
	if (length && text[length - 1] == '\n')
		length--;
	text[length] = '\0';
	return ret ? ret : (int)length;
}

long read_number(const char *path)
{
	char text[64], *end;
	int ret = read_text(path, text, sizeof(text));
	long number;

	if (ret < 0)
		return ret;
	number = strtol(text, &end, 0);
	return end == text ? -EINVAL : number;
}

int find_path(const char *pattern, char *path, size_t size)
{
	glob_t found;
	int ret = -ENOENT;

	if (!glob(pattern, 0, NULL, &found)) {
		snprintf(path, size, "%s", found.gl_pathv[0]);
		ret = 0;
	}
	globfree(&found);
	return ret;
}

const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(dir);
	return count;
}

int module_load(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return ret;
}

int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

bool module_is_loaded(const char *name)
{
	char path[128];

	/* Built in, it has a directory without this file. */
	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	return !access(path, F_OK);
}

int module_probe(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "modprobe -q %s", name);
	return system(command) ? -ENOENT : 0;
}

int flat_load(void)
{
	int ret = module_probe("vfio_iommu_type1");

	/* A kernel may have iommufd alone. */
	if (ret)
		ret = module_probe("iommufd");
	if (!ret)
		ret = module_probe("vfio-pci");
	return ret ? ret : module_load(MODULE_FILE, "");
}

int flat_unload(void)
{
	return module_unload("flatiommu");
}

int flat_claim(const char *bdf)
{
	return write_text(MISC "claim", bdf);
}

int flat_release(const char *bdf)
{
	return write_text(MISC "release", bdf);
}

static const char *device_path(const char *bdf, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/%s", bdf, name);
	return path;
}

/* The last part of what a link of @bdf points to, "" when there is none. */
static const char *link_end(const char *bdf, const char *name)
{
	static char target[512];
	ssize_t length = readlink(device_path(bdf, name), target, sizeof(target) - 1);

	target[length < 0 ? 0 : length] = '\0';
	return last_part(target);
}

bool pci_is_there(const char *bdf)
{
	return !access(device_path(bdf, "vendor"), F_OK);
}

const char *pci_driver(const char *bdf)
{
	return link_end(bdf, "driver");
}

int pci_group(const char *bdf)
{
	const char *number = link_end(bdf, "iommu_group");

	return *number ? atoi(number) : -ENOENT;
}

bool nvme_is_live(void *bdf)
{
	char pattern[128], path[256], state[16];

	snprintf(pattern, sizeof(pattern), PCI_DEVICES "%s/nvme/nvme*/state", (const char *)bdf);
	return !find_path(pattern, path, sizeof(path)) &&
	       read_text(path, state, sizeof(state)) > 0 && !strcmp(state, "live");
}

int pci_unbind(const char *bdf)
{
	const char *driver = pci_driver(bdf);

	if (!*driver)
		return 0;
	/* While it starts, the driver nvme would later unbind whatever driver comes after it. */
	if (!strcmp(driver, "nvme") && !wait_until(nvme_is_live, (void *)bdf))
		return -ETIMEDOUT;
	return write_text(device_path(bdf, "driver/unbind"), bdf);
}

int pci_bind(const char *bdf, const char *driver)
{
	char path[128];
	int ret = pci_unbind(bdf);

	if (!ret)
		ret = write_text(device_path(bdf, "driver_override"), driver);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", driver);
	return write_text(path, bdf);
}

int pci_bind_default(const char *bdf)
{
	int ret = write_text(device_path(bdf, "driver_override"), "\n");

	return ret ? ret : write_text("/sys/bus/pci/drivers_probe", bdf);
}

int pci_bar(const char *bdf, unsigned int index, uint64_t *start, uint64_t *size)
{
	unsigned long long first, last, flags;
	char text[2048], *line = text;
	int ret = read_text(device_path(bdf, "resource"), text, sizeof(text));

	if (ret < 0)
		return ret;
	while (index-- && line)
		line = strchr(line + 1, '\n');
	if (!line || sscanf(line, "%llx %llx %llx", &first, &last, &flags) != 3 || !last)
		return -ENXIO;
	*start = first;
	*size = last - first + 1;
	return 0;
}

int pci_take(const char *bdf)
{
	int ret = pci_unbind(bdf);

	if (!ret)
		ret = flat_claim(bdf);
	return ret ? ret : pci_bind(bdf, "vfio-pci");
}

int pci_take_again(const char *bdf, const char *options)
{
	char text[64];
	int ret = pci_unbind(bdf);

	snprintf(text, sizeof(text), "%s%s", bdf, options);
	if (!ret)
		ret = flat_release(bdf);
	if (!ret)
		ret = flat_claim(text);
	return ret ? ret : pci_bind(bdf, "vfio-pci");
}

int pci_give_back(const char *bdf)
{
	char text[64];
	int ret = 0;

	if (!strcmp(pci_driver(bdf), "vfio-pci"))
		ret = pci_unbind(bdf);
	if (!ret && pci_group(bdf) >= 0)
		ret = flat_release(bdf);
	if (ret)
		return ret;
	if (read_text(device_path(bdf, "driver_override"), text, sizeof(text)) >= 0 &&
	    strcmp(text, "(null)"))
		ret = write_text(device_path(bdf, "driver_override"), "\n");
	if (!ret && !*pci_driver(bdf))
		ret = write_text("/sys/bus/pci/drivers_probe", bdf);
	return ret;
}

int flat_begin(const char *const *devices)
{
	int ret = flat_load();

	for (; !ret && *devices; devices++)
		ret = pci_take(*devices);
	if (ret)
		fprintf(stderr, "cannot set up the module and its devices: %s\n", strerror(-ret));
	return ret;
}

int flat_end(const char *const *devices)
{
	int ret = 0, err;

	for (; *devices; devices++) {
		err = pci_give_back(*devices);
		if (err) {
			fprintf(stderr, "cannot give %s back: %s\n", *devices, strerror(-err));
			ret = err;
		}
	}
	err = flat_unload();
	if (err)
		fprintf(stderr, "cannot unload the module: %s\n", strerror(-err));
	return ret ? ret : err;
}
