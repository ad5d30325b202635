import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

required_conan_version = ">=2.3"


class BasicClusterConan(ConanFile):
    name = "basic_cluster"
    description = "Process clusters for C++20 servers on Linux, header-only"
    license = "MIT"
    topics = ("multi-process", "prefork", "ipc", "supervisor", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True
    exports_sources = "include/*", "LICENSE"
    test_package_folder = "tests/consume/conan"

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "include", "cluster", "version.hpp"))
        self.version = ".".join(re.findall(r"#define CLUSTER_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text))

    def export(self):
        # The exported recipe reads its version, too.
        copy(self, "include/cluster/version.hpp", self.recipe_folder, self.export_folder)

    def layout(self):
        basic_layout(self, src_folder=".")

    def package_id(self):
        self.info.clear()

    def validate(self):
        if self.settings.get_safe("os") not in (None, "Linux"):
            raise ConanInvalidConfiguration(f"{self.ref} is for Linux only")
        check_min_cppstd(self, 20)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        for pattern in ("*.hpp", "*.cppm"):
            copy(
                self,
                pattern,
                os.path.join(self.source_folder, "include"),
                os.path.join(self.package_folder, "include"),
                excludes="single/*",
            )

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "basic_cluster")
        self.cpp_info.set_property("cmake_target_name", "cluster::cluster")
        self.cpp_info.set_property("pkg_config_name", "basic_cluster")
        self.cpp_info.system_libs = ["pthread"]
